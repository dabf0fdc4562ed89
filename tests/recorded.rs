//! What `chat` and `score` take from the records of a run, and what records of scores keep apart.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::cli::{run, text};

/// Records as a run on Mira leaves them, with the base and the judges that it used.
fn records(folder: &Path, base: &str, template: Option<&str>) {
    let stages = folder.join("data/Mira/stages");
    fs::create_dir_all(&stages).unwrap();
    fs::write(
        folder.join("data/Mira/statements.jsonl"),
        "{\"statement\": \"Mira plays the cello.\"}\n",
    )
    .unwrap();
    let judge =
        |name: &str, template: Option<&str>| json!({"judge": {"name": name, "template": template}});
    let precision = json!({"dtype": "float32", "quantization": "none"});
    for (stage, inputs, about) in [
        (
            "relevance-table",
            json!({}),
            judge("embedded/relevance", None),
        ),
        ("pairs", json!({}), judge("embedded/nli", template)),
        ("dpo", precision, json!({"model_name": base})),
    ] {
        let record = json!({"complete": true, "inputs": inputs, "about": about});
        fs::write(stages.join(format!("{stage}.json")), record.to_string()).unwrap();
    }
}

/// A template for both judges.
fn templates(folder: &Path) -> String {
    let path = folder.join("templates.json");
    let both = json!({"relevance": ["GIVEN {query}", "{statement}"], "nli": "GIVEN {statement} {response}"});
    fs::write(&path, both.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn chat_without_an_adapter_asks_for_the_base_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().display().to_string();
    let ask = [
        "chat",
        "--character",
        "Mira",
        "--adapter",
        "none",
        "--message",
        "Hi?",
        "--output",
        &output,
    ];
    records(folder.path(), "models/my-gemma", None);
    let refused = run(&ask);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("models/my-gemma") && told.contains("--model"),
        "{told}"
    );
    records(folder.path(), "embedded", None);
    let answered = run(&ask);
    assert!(answered.status.success(), "{}", text(&answered.stderr));
}

#[test]
fn a_template_file_that_is_given_wins_over_records_and_embedded_judges() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().display().to_string();
    let given = templates(folder.path());
    records(
        folder.path(),
        "embedded",
        Some("RECORDED {statement} {query} {response}"),
    );
    let read = |character: &str, more: &[&str]| {
        let arguments = [
            "score",
            "--character",
            character,
            "--query",
            "Hi?",
            "--response",
            "Ho.",
            "--verbose",
            "--output",
            &output,
        ];
        let scored = run(&[&arguments[..], more].concat());
        assert!(scored.status.success(), "{}", text(&scored.stderr));
        text(&scored.stderr)
    };
    assert!(read("Mira", &[]).contains("RECORDED Mira"));
    for character in ["Mira", "Alice"] {
        let told = read(character, &["--judge-templates", &given]);
        assert_eq!(told.matches("GIVEN ").count(), 2, "{character}: {told}");
    }
}

#[test]
fn scores_of_other_judges_statements_or_templates_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (input, output, characters) = (path("replies.jsonl"), path("scores.jsonl"), path("."));
    let line =
        |query: &str| json!({"query": query, "response": "I play the cello."}).to_string() + "\n";
    fs::write(&input, line("Hi?") + &line("What do you play?")).unwrap();
    let statements = folder.path().join("statements.txt");
    fs::write(&statements, "Mira plays the cello.\n").unwrap();
    let given = templates(folder.path());
    let score = |more: &[&str]| -> Output {
        let arguments = [
            "score",
            "--character",
            "Mira",
            "--input",
            &input,
            "--output",
            &output,
            "--characters",
            &characters,
            "--statements",
            statements.to_str().unwrap(),
            "--format",
            "json",
        ];
        run(&[&arguments[..], more].concat())
    };
    let refused = |more: &[&str], part: &str| {
        let refused = score(more);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(
            told.contains(part) && told.contains("--force"),
            "{part}: {told}"
        );
    };
    let done = |more: &[&str]| -> Value {
        let done = score(more);
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    assert_eq!(done(&[])["scored_before"], 0);
    let record = fs::read_to_string(path("scores.jsonl.record.json")).unwrap();
    assert!(!record.contains(&characters), "no absolute path: {record}");
    let whole = fs::read_to_string(&output).unwrap();
    let first: String = whole.split_inclusive('\n').take(1).collect();
    fs::write(&output, &first).unwrap();

    refused(
        &["--judge-templates", &given],
        "template of the NLI judge changed (of Mira)",
    );
    refused(
        &["--nli", "tests/data/judges/nli"],
        "NLI judge embedded/nli → ",
    );
    refused(
        &["--judge-dtype", "bfloat16"],
        "precision of the relevance judge",
    );
    fs::write(&statements, "Mira plays the drums.\n").unwrap();
    refused(&[], "statements changed (of Mira)");
    assert_eq!(
        fs::read_to_string(&output).unwrap(),
        first,
        "nothing is lost"
    );
    fs::write(&statements, "Mira plays the cello.\n").unwrap();
    assert_eq!(done(&[])["scored_before"], 1);
    assert_eq!(fs::read_to_string(&output).unwrap(), whole);

    assert_eq!(
        done(&["--judge-templates", &given, "--force"])["scored_before"],
        0
    );
    assert_eq!(done(&["--judge-templates", &given])["scored_before"], 2);
    fs::remove_file(path("scores.jsonl.record.json")).unwrap();
    let without = score(&["--force"]);
    let told = text(&without.stderr);
    assert!(told.contains("has no record beside it"), "{told}");
    assert_eq!(without.status.code(), Some(1), "it may be anyone's file");
}

#[test]
fn scores_do_not_go_into_the_file_of_replies_or_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("replies.jsonl");
    let replies = r#"{"query": "Hi?", "response": "Ho.", "character": "Alice"}"#;
    fs::write(&input, replies).unwrap();
    let other = folder.path().join("./replies.jsonl");
    for (output, part) in [
        (input.as_path(), "is the file of the replies"),
        (other.as_path(), "is the file of the replies"),
        (folder.path(), "is a folder"),
    ] {
        let refused = run(&[
            "score",
            "--input",
            input.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ]);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains(part), "{told}");
        assert_eq!(fs::read_to_string(&input).unwrap(), replies);
    }
}

#[test]
fn a_line_of_replies_that_cannot_be_scored_is_named_and_foreign_files_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["replies.jsonl", "scores.jsonl"].map(|name| folder.path().join(name));
    let path = |path: &Path| path.display().to_string();
    let score = |lines: &str| {
        fs::write(&input, lines).unwrap();
        let out = run(&[
            "score",
            "--input",
            &path(&input),
            "--output",
            &path(&output),
        ]);
        assert!(!out.status.success());
        text(&out.stderr)
    };
    let good = r#"{"query": "Hi?", "response": "Ho.", "character": "Alice"}"#;
    for (line, reason) in [
        (
            r#"{"query": "Hi?", "response": "Ho.", "character": "A", "statements": []}"#,
            r#"line 2: "statements" is empty"#,
        ),
        (
            r#"{"query": "Hi?", "response": "Ho.", "character": "Nobody Known"}"#,
            "line 2: ",
        ),
        (
            r#"{"query": "Hi?", "response": "Ho."}"#,
            "line 2 names no character",
        ),
    ] {
        let error = score(&format!("{good}\n{line}\n"));
        assert!(error.contains(reason), "{error}");
    }
    let error = score(&format!(
        "\n\n{}",
        r#"{"query": "Hi?", "response": " ", "character": "Alice"}"#
    ));
    assert!(error.contains("line 3: "), "blank lines count: {error}");
    assert!(score("").contains("has no replies"));
    for notes in ["my notes", "my notes\n"] {
        fs::write(&output, notes).unwrap();
        assert!(score(good).contains("name another file"));
        assert_eq!(fs::read_to_string(&output).unwrap(), notes);
    }
}

#[test]
fn scores_stay_until_there_are_new_ones_and_a_file_of_scores_can_be_scored_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (input, output, again) = (path("replies"), path("scores"), path("again"));
    let reply = r#"{"query": "Hi?", "response": "Ho.", "character": "Alice"}"#;
    fs::write(&input, reply).unwrap();
    let score = |input: &str, output: &str, more: &[&str]| {
        run(&[&["score", "--input", input, "--output", output][..], more].concat())
    };
    assert!(score(&input, &output, &[]).status.success());
    let scores = fs::read_to_string(&output).unwrap();
    let record = fs::read_to_string(path("scores.record.json")).unwrap();
    // A judge of other classes is found out when it is loaded.
    let failed = score(
        &input,
        &output,
        &["--force", "--nli", "tests/data/judges/relevance"],
    );
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&output).unwrap(), scores);
    assert_eq!(
        fs::read_to_string(path("scores.record.json")).unwrap(),
        record
    );

    for _ in 0..2 {
        assert!(score(&output, &again, &[]).status.success());
        assert_eq!(fs::read_to_string(&again).unwrap(), scores);
    }
    fs::write(&output, format!("{scores}damaged\n")).unwrap();
    assert!(!score(&input, &output, &[]).status.success());
    assert!(score(&input, &output, &["--force"]).status.success());
    assert_eq!(fs::read_to_string(&output).unwrap(), scores);
}
