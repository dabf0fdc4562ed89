//! What a run makes again after an edit, what it keeps, and what it tells of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cli::{PAGE, adapter_of, apc, short_run, strs, text};

/// Every stage, in its order.
const STAGES: &str = "statements, queries, relevance-table, held-out-relevance-table, grading-relevance-table, pairs, \
                      evaluation-before, dpo, evaluation-after";

/// A character's folder with all that a run has made, of its own for a test.
struct Made(tempfile::TempDir);

/// What a run told and printed.
struct Ran {
    /// The lines that say what is made again.
    again: Vec<String>,
    told: String,
    summary: Value,
}

impl Made {
    /// A copy of one and the same run.
    fn new() -> Self {
        static FIRST: OnceLock<tempfile::TempDir> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let made = Self(tempfile::tempdir().unwrap());
            made.run(&[]);
            made.0
        });
        let made = Self(tempfile::tempdir().unwrap());
        copy(first.path(), made.0.path());
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn adapter(&self) -> Vec<u8> {
        fs::read(adapter_of(self.0.path()).join("adapter_model.safetensors")).unwrap()
    }

    fn run(&self, more: &[&str]) -> Ran {
        self.run_on(PAGE, more)
    }

    fn run_on(&self, page: &str, more: &[&str]) -> Ran {
        let mut arguments = short_run(self.0.path());
        fs::write(self.path("page.txt"), page).unwrap();
        // A flag that is given takes the short run's place.
        for flag in more.iter().filter(|flag| flag.starts_with("--")) {
            if let Some(at) = arguments.iter().position(|argument| argument == flag) {
                arguments.drain(at..at + 2);
            }
        }
        let arguments = [&strs(&arguments)[..], more, &["--format", "json"]].concat();
        let output = apc(&arguments).output().unwrap();
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        let again = told.lines().filter(|line| line.ends_with(" again"));
        Ran {
            again: again.map(str::to_string).collect(),
            summary: serde_json::from_slice(&output.stdout).unwrap(),
            told,
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn an_edited_page_and_another_setting_make_again_what_follows_and_say_so_in_a_line() {
    let made = Made::new();
    let before = made.adapter();
    let ran = made.run(&["--beta", "0.2"]);
    assert_eq!(
        ran.again,
        ["dpo_beta 0.1 → 0.2: dpo, evaluation-after again"]
    );
    assert_eq!(ran.summary["stages_run"][0], "dpo");
    assert!(made.adapter() != before);

    let page = format!("{PAGE}\nMira keeps bees.\n");
    let ran = made.run_on(&page, &["--seed", "43"]);
    let line = format!("page changed, seed 42 → 43, dpo_beta 0.2 → 0.1: {STAGES} again");
    assert_eq!(ran.again, [line]);
    assert!(made.read("data/Mira/statements.jsonl").contains("bees"));
    let ran = made.run_on(&page, &["--seed", "43"]);
    assert!(ran.again.is_empty() && ran.summary["stages_run"] == Value::from(Vec::<Value>::new()));

    for stage in ["statements", "dpo"] {
        let record = made.read(&format!("data/Mira/stages/{stage}.json"));
        assert!(
            !record.contains(made.0.path().to_str().unwrap()),
            "{record}"
        );
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
    }
    let record = made.path("data/Mira/stages/dpo.json");
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    assert_eq!(record["about"]["model_name"], "embedded");
    assert_eq!(record["inputs"]["dtype"], "float32");
}

#[test]
fn only_queries_that_are_asked_are_judged_and_asking_more_keeps_what_is_known() {
    let made = Made::new();
    let lines = |name: &str| made.read(&format!("data/Mira/{name}")).lines().count();
    // Of words in which even a few replies differ.
    let page = format!(
        "{PAGE}Mira keeps axolotls called Szofia and Bartholomew. She reads Lermontov in Georgian. \
                        She hums zarzuelas. She collects theodolites and astrolabes.\n"
    );
    let run = |more: &[&str]| made.run_on(&page, more);
    let ran = run(&["--max-dpo-data", "12", "--force"]);
    let statements = lines("statements.jsonl");
    assert_eq!(ran.summary["trained_on"], 12);
    assert_eq!(lines("relevance-table.jsonl"), 12);
    let few = made.read("data/Mira/relevance-table.jsonl");
    let known = lines("relevance-cache.jsonl");
    let ran = run(&["--max-dpo-data", "13"]);
    assert_eq!(
        ran.again,
        ["max_dpo_data 12 → 13: relevance-table, pairs, dpo, evaluation-after again"]
    );
    assert_eq!(lines("relevance-table.jsonl"), 13);
    // A mark, and at most the texts of one more query.
    assert!(lines("relevance-cache.jsonl") <= known + 1 + statements);
    run(&["--max-dpo-data", "12"]);
    assert_eq!(made.read("data/Mira/relevance-table.jsonl"), few);

    // What was judged before is a help, and no reason to stop if it is damaged.
    fs::write(made.path("data/Mira/relevance-cache.jsonl"), "[1\n").unwrap();
    let ran = run(&["--max-dpo-data", "12", "--force"]);
    assert!(!ran.told.contains("relevance-cache"), "{}", ran.told);
    fs::write(made.path("data/Mira/relevance-cache.jsonl"), "[1\n").unwrap();
    let ran = run(&["--max-dpo-data", "13"]);
    assert!(ran.told.contains("is judged again"), "{}", ran.told);
}

#[test]
fn an_edit_of_the_page_that_changes_no_statement_ends_there() {
    let made = Made::new();
    let before = made.adapter();
    let ran = made.run_on(&format!("{PAGE}\n\n"), &[]);
    assert_eq!(ran.again, [format!("page changed: {STAGES} again")]);
    assert_eq!(ran.summary["stages_run"], Value::from(vec!["statements"]));
    assert!(
        ran.told.contains("so they stay: queries, relevance-table"),
        "{}",
        ran.told
    );
    assert!(made.adapter() == before);
}

#[test]
fn edited_statements_are_used_and_moved_aside_when_the_page_makes_others() {
    let made = Made::new();
    let statements = "data/Mira/statements.jsonl";
    let mut edited: Vec<String> = made.read(statements).lines().map(str::to_string).collect();
    edited.pop();
    edited[0] = r#"{"statement": "Mira is a carpenter from Bergen."}"#.into();
    let edited = edited.join("\n") + "\n";
    fs::write(made.path(statements), &edited).unwrap();

    let ran = made.run(&[]);
    let follow = STAGES.strip_prefix("statements, ").unwrap();
    let line = format!("statements.jsonl edited by hand: {follow} again");
    assert_eq!(ran.again, [line]);
    assert_eq!(made.read(statements), edited);
    assert_eq!(ran.summary["statements"], edited.lines().count());
    assert!(made.run(&[]).again.is_empty());

    let ran = made.run_on(&format!("{PAGE}\nMira keeps bees.\n"), &[]);
    assert_eq!(ran.again, [format!("page changed: {STAGES} again")]);
    assert_eq!(made.read("data/Mira/statements.edited-1.jsonl"), edited);
    assert!(
        ran.told.contains("statements.edited-1.jsonl"),
        "{}",
        ran.told
    );
}

#[test]
fn damaged_results_and_records_are_made_again_to_the_same_bytes() {
    let made = Made::new();
    let (before, first) = (made.adapter(), made.read("data/Mira/summary.json"));
    let first: Value = serde_json::from_str(&first).unwrap();
    let adapter = "models/Mira/adapter/adapter_model.safetensors";
    let after = "data/Mira/evaluation-after.jsonl";
    let flattering = made
        .read(after)
        .replace("\"delta_apc\":[", "\"delta_apc\":[9");
    for (damage, cause) in [
        (
            &[(after, Some(flattering.as_bytes()))][..],
            "evaluation-after.jsonl damaged: evaluation-after again",
        ),
        (
            &[(adapter, Some(&before[..before.len() / 2]))],
            "adapter/adapter_model.safetensors damaged: dpo, evaluation-after again",
        ),
        (
            &[(adapter, None), (after, Some(b""))],
            "adapter/adapter_model.safetensors missing: dpo, evaluation-after again",
        ),
        (
            &[("data/Mira/dpo.json", Some(b"{\"pai"))],
            "dpo.json damaged: dpo, evaluation-after again",
        ),
        (
            &[("data/Mira/stages/dpo.json", Some(b"{\"comp"))],
            "record of dpo damaged: dpo, evaluation-after again",
        ),
    ] {
        for (name, bytes) in damage {
            match bytes {
                Some(bytes) => fs::write(made.path(name), bytes).unwrap(),
                None => fs::remove_file(made.path(name)).unwrap(),
            }
        }
        let ran = made.run(&[]);
        assert_eq!(ran.again, [cause]);
        assert_eq!(ran.summary["evaluation"], first["evaluation"], "{cause}");
        assert_eq!(ran.summary["dpo"], first["dpo"], "{cause}");
        assert!(made.adapter() == before, "{cause}");
    }
    let aside = made.read("data/Mira/evaluation-after.edited-1.jsonl");
    assert_eq!(aside, flattering, "nothing is lost");
}

#[test]
fn force_makes_everything_again_but_removes_only_what_the_program_made() {
    let made = Made::new();
    let (before, cache) = (made.adapter(), made.read("data/Mira/relevance-cache.jsonl"));
    fs::write(made.path("models/Mira/adapter/notes.txt"), "mine").unwrap();
    let ran = made.run(&["--force"]);
    assert_eq!(ran.again, [format!("asked for: {STAGES} again")]);
    assert!(made.adapter() == before);
    assert_eq!(made.read("data/Mira/relevance-cache.jsonl"), cache);
    assert_eq!(made.read("models/Mira/adapter.edited-1/notes.txt"), "mine");
    assert!(!made.path("data/Mira/statements.edited-1.jsonl").exists());
}

#[test]
fn a_complete_run_is_told_where_its_summary_cannot_be_written() {
    let made = Made::new();
    let summary = made.path("data/Mira/summary.json");
    fs::remove_file(&summary).unwrap();
    fs::create_dir_all(summary.join("below")).unwrap();
    let ran = made.run(&[]);
    assert!(
        ran.told.contains("the summary is only printed"),
        "{}",
        ran.told
    );
    assert_eq!(ran.summary["stages_run"], Value::from(Vec::<Value>::new()));
    assert!(ran.summary["evaluation"]["queries"].as_u64().unwrap() > 0);
}

#[test]
fn an_edit_of_what_a_stopped_run_has_sampled_is_not_believed() {
    let made = Made::new();
    let (after, record) = (
        "data/Mira/evaluation-after.jsonl",
        "data/Mira/stages/evaluation-after.json",
    );
    let (whole, first) = (made.read(after), made.run(&[]).summary);
    // As a run leaves it that is killed before its last record, but without a seal.
    let begun = made
        .read(record)
        .replace("\"complete\": true", "\"complete\": false");
    for content in [
        whole.replace("\"delta_apc\":[", "\"delta_apc\":[9"),
        String::new(),
    ] {
        fs::write(made.path(record), &begun).unwrap();
        fs::write(made.path(after), content).unwrap();
        let ran = made.run(&[]);
        assert_eq!(ran.summary["evaluation"], first["evaluation"]);
        assert_eq!(made.read(after), whole);
    }
    assert!(
        made.read("data/Mira/evaluation-after.edited-1.jsonl")
            .contains(":[9")
    );
}

#[test]
fn a_second_run_on_a_character_says_that_another_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = short_run(folder.path());
    let mut first = apc(&strs(&arguments))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !folder.path().join("data/Mira/statements.jsonl").is_file() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = apc(&strs(&arguments)).output().unwrap();
    let told = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(told.contains("another run is at work here"), "{told}");
    first.kill().unwrap();
    first.wait().unwrap();
    let third = apc(&strs(&arguments)).output().unwrap();
    assert!(third.status.success(), "{}", text(&third.stderr));
}

#[test]
fn queries_may_come_in_several_turns_and_what_follows_is_made_of_them() {
    let made = Made::new();
    let alone = made.read("data/Mira/queries.jsonl");
    assert!(!alone.contains("before"), "{alone}");
    let turns = ["--turns", "2"];
    let ran = made.run(&turns);
    assert!(!ran.again.is_empty(), "{}", ran.told);
    let queries = made.read("data/Mira/queries.jsonl");
    let several = queries.lines().filter(|line| line.contains("\"before\""));
    let n_several = several.count();
    assert!(
        (1..queries.lines().count()).contains(&n_several),
        "{queries}"
    );
    let table = made.read("data/Mira/relevance-table.jsonl");
    let judged = table.lines().filter(|line| line.contains("\"before\""));
    assert_eq!(judged.count(), n_several);
    // Their prompts show what was said before.
    let replies = made.read("data/Mira/replies.jsonl");
    let is_of_two = |line: &&str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let prompt = record["prompt"].as_str().unwrap();
        prompt.matches("<start_of_turn>user").count() == 2
    };
    assert_eq!(replies.lines().filter(is_of_two).count(), n_several);
    let record = made.read("data/Mira/stages/dpo.json");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["about"]["turns"], 2);
    let ran = made.run(&turns);
    assert!(ran.again.is_empty() && ran.summary["stages_run"] == Value::from(Vec::<Value>::new()));
    made.run(&[]);
    assert_eq!(made.read("data/Mira/queries.jsonl"), alone);
}
