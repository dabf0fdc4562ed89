//! Judges as the command line chooses and asks them.

use std::fs;
use std::path::Path;

use apc::files::{self};
use serde_json::{Value, json};

use super::cli::{run, short_run, strs, text};

use super::public_judges::Foreign;

/// `apc score` of one reply with these flags.
fn score(more: &[&str]) -> std::process::Output {
    let statements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mira.txt");
    let statements = statements.to_str().unwrap();
    let arguments = ["score", "--character", "Mira", "--statements", statements];
    let asked = [
        "--query",
        "What do you play?",
        "--response",
        "I play the cello.",
    ];
    run(&[&arguments[..], &asked, more].concat())
}

#[test]
fn each_judge_has_a_template_of_its_own_and_labels_by_flag() {
    let judge = Foreign::new("nli", &[2, 1, 0], &["LABEL_0", "LABEL_1", "LABEL_2"]);
    let told = |more: &[&str]| {
        let judges = [
            "--relevance",
            "tests/data/judges/relevance",
            "--nli",
            judge.name(),
        ];
        let done = score(&[&judges[..], &["--verbose"], more].concat());
        let told = text(&done.stderr);
        assert!(done.status.success(), "{told}");
        told
    };
    let guessed = told(&[]);
    assert!(guessed.contains("--judge-labels"), "{guessed}");
    let pair = r#"["{statement}", "He said: {response}"]"#;
    let labels = "entailment,neutral,contradiction";
    let named = told(&["--nli-template", pair, "--judge-labels", labels]);
    assert!(
        named.contains("He said: I play the cello.") && !named.contains("--judge-labels"),
        "{named}"
    );
    assert!(named.contains("Statement: Mira plays the cello. Question: What do you play?"));
    let named = told(&[
        "--relevance-template",
        "About {statement}: {query}",
        "--judge-labels",
        labels,
    ]);
    assert!(
        named.contains("About Mira plays the cello.: What do you play?"),
        "{named}"
    );
    for (flags, parts) in [
        (
            ["--nli-template", "{statment}"],
            ["--nli-template", "{statment}"],
        ),
        (
            ["--nli-template", r#"["{statement}", "{response}", "x"]"#],
            ["--nli-template", "two texts"],
        ),
        (
            ["--judge-labels", "good,bad"],
            ["--judge-labels", "\"good\""],
        ),
        (
            ["--judge-labels", "neutral,neutral,entailed"],
            ["--judge-labels", "each once"],
        ),
    ] {
        let refused = score(&flags);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
    for (template, missing) in [
        (["--nli-template", "{statement} {query}"], "{response}"),
        (["--nli-template", "{query} {response}"], "{statement}"),
        (["--relevance-template", "{statement}"], "{query}"),
    ] {
        let refused = score(&template);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        let whole = told.contains(missing) && told.contains(template[0]);
        assert!(whole, "{told}");
    }
    let turned = "entailed,neutral,contradicted";
    let turned = score(&["--nli", "tests/data/judges/nli", "--judge-labels", turned]);
    let told = text(&turned.stderr);
    assert!(
        told.contains("contradict config.json of tests/data/judges/nli"),
        "{told}"
    );
}

#[test]
fn the_embedded_judges_say_that_they_read_english() {
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("小雨.txt");
    fs::write(
        &statements,
        "小雨喜欢下雨天。\n小雨住在海边的一个小镇上。\n",
    )
    .unwrap();
    let done = run(&[
        "score",
        "--character",
        "小雨",
        "--statements",
        statements.to_str().unwrap(),
        "--query",
        "你喜欢什么？",
        "--response",
        "我喜欢下雨天。",
    ]);
    let told = text(&done.stderr);
    assert!(
        done.status.success() && told.contains("read English"),
        "{told}"
    );
    assert!(!text(&score(&[]).stderr).contains("read English"));
}

#[test]
fn who_grades_is_chosen_by_flag_and_a_judge_that_also_rewards_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let grader = Foreign::new(
        "nli",
        &[1, 0, 2],
        &["NEUTRAL", "CONTRADICTION", "ENTAILMENT"],
    );
    let arguments = short_run(folder.path());
    let pair = json!({"pair": ["{statement}", "{query} {response}"]});
    grader.write("judge.json", &pair);
    let more = [
        "--grading-nli",
        grader.name(),
        "--grading-relevance",
        "models/tiny/relevance",
    ];
    let done = run(&[&strs(&arguments)[..], &more].concat());
    let told = text(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains("is used for the reward and for the evaluation")
            && told.contains("--grading-relevance"),
        "{told}"
    );
    let about = |stage: &str| {
        let path = folder.path().join(format!("data/Mira/stages/{stage}.json"));
        let record: Value = files::read_json(&path).unwrap();
        record["about"]["judge"]["name"]
            .as_str()
            .unwrap()
            .to_string()
    };
    let name = grader.path().file_name().unwrap().to_str().unwrap();
    assert!(about("evaluation-after").ends_with(name));
    assert!(about("grading-relevance-table").ends_with("models/tiny/relevance"));
    assert_eq!(about("pairs"), "embedded/nli");
    assert_eq!(about("relevance-table"), "embedded/relevance");
}

#[test]
fn the_judges_of_a_trained_character_are_known_from_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let judge = Foreign::new("nli", &[1, 0, 2], &["LABEL_0", "LABEL_1", "LABEL_2"]);
    let arguments = short_run(folder.path());
    let labels = ["--judge-labels", "neutral,contradicted,entailed"];
    let pair = ["--nli-template", r#"["{statement}", "Asked: {response}"]"#];
    let more = [&["--nli", judge.name()], &labels[..], &pair].concat();
    let done = run(&[&strs(&arguments)[..], &more].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let output = folder.path().to_str().unwrap();
    let scored = run(&[
        "score",
        "--character",
        "Mira",
        "--output",
        output,
        "--query",
        "What do you play?",
        "--response",
        "I play the cello.",
        "--verbose",
    ]);
    let told = text(&scored.stderr);
    assert!(scored.status.success(), "{told}");
    assert!(told.contains("Asked: I play the cello."), "{told}");
    assert!(
        !told.contains("--judge-labels"),
        "the labels are recorded: {told}"
    );
}
