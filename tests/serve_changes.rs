//! Characters that are changed while a server speaks for them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cli::{PAGE, run, short_run, strs, text};
use super::served::Served;

const CARD: &str = r#"{"spec": "chara_card_v2", "data": {"name": "Mira", "description": "Mira sings. Mira lives in Cluj.",
    "first_mes": "Good evening, {{user}}.", "alternate_greetings": ["Hm?"], "scenario": "{{user}} enters a tavern."}}"#;

#[test]
fn a_card_brings_its_greeting_and_who_was_never_trained_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("wiki")).unwrap();
    std::fs::write(folder.path().join("wiki/Mira.json"), CARD).unwrap();
    let served = Served::start_in(folder.path(), &["--character", "Mira"], None);
    let mira = served.get("/v1/characters/mira").json();
    assert_eq!(mira["greeting"], "Good evening, User.");
    assert_eq!(mira["trained"], false);
    assert_eq!(mira["editable"], false);
    let reason = mira["locked"].as_str().unwrap();
    assert!(reason.contains("train it once"), "{reason}");
    let statements = json!({"statements": ["Mira sings.", "Is Mira tall?"]}).to_string();
    for (method, path) in [
        ("PUT", "/v1/characters/Mira"),
        ("POST", "/v1/characters/Mira/train"),
    ] {
        let refused = served.request(method, path, "", &statements);
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert!(refused.body.contains("train it once"), "{}", refused.body);
    }
    let lint = served.post("/v1/characters/Mira/lint", &statements).json();
    let findings = lint["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{lint}");
    assert_eq!(findings[0]["statement"], 1);
    let report = served.get("/v1/characters/Mira/report").json();
    assert_eq!(report["summary"], Value::Null);
    assert_eq!(served.get("/v1/characters/Tom/report").status, 404);
}

#[test]
fn a_conversation_in_the_terminal_begins_with_the_greeting_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("wiki")).unwrap();
    std::fs::write(folder.path().join("wiki/Mira.json"), CARD).unwrap();
    let chat = |more: &[&str]| {
        let command = super::cli::apc(&["chat", "--character", "Mira", "--max-new-tokens", "2"]);
        let mut command = assert_cmd::Command::from(command);
        let output = command
            .args(more)
            .current_dir(folder.path())
            .write_stdin("/new\n/quit\n")
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (_, told, _) = chat(&["--user", "Tom"]);
    assert_eq!(told, "Good evening, Tom.\nGood evening, Tom.\n");
    assert_eq!(chat(&["--greeting", "2"]).1, "Hm?\nHm?\n");
    assert_eq!(chat(&["--greeting", "0"]).1, "");
    let (code, _, error) = chat(&["--greeting", "3"]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("--greeting is 3, but the card has 2"),
        "{error}"
    );
}

#[test]
fn statements_are_changed_and_trained_anew_while_the_server_speaks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.txt"), PAGE).unwrap();
    let arguments = short_run(folder.path());
    let output = run(&[strs(&arguments), vec!["--seed", "7"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let served = Served::start_in(folder.path(), &[], None);
    let mira = || served.get("/v1/characters/Mira").json();
    let before = mira();
    assert_eq!(
        [&before["trained"], &before["stale"], &before["editable"]],
        [true, false, true]
    );
    let report = served.get("/v1/characters/Mira/report").json();
    assert!(report["summary"]["delta_apc_after"].is_f64(), "{report}");
    assert!(!report["queries"].as_array().unwrap().is_empty());

    let mut statements = before["statements"].as_array().unwrap().clone();
    statements.push(json!(" Mira keeps\nbees. "));
    let put = |statements: &[Value]| {
        let body = json!({"statements": statements}).to_string();
        served.request("PUT", "/v1/characters/Mira", "", &body)
    };
    let changed = put(&statements).json();
    let last = changed["statements"].as_array().unwrap().last();
    assert_eq!(last, Some(&json!("Mira keeps bees.")));
    assert_eq!(changed["stale"], true);
    let file = folder.path().join("data/Mira/statements.jsonl");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("keeps bees")
    );
    let twice = put(&[json!("Mira sings."), json!("Mira sings.")]);
    assert_eq!(twice.status, 400);
    assert_eq!(twice.json()["error"]["param"], "statements[1]");
    // The reply is judged by what was changed.
    let body = json!({"model": "Mira", "query": "Do you keep bees?", "response": "I keep bees."});
    let scored = served.post("/v1/score", &body.to_string());
    assert!(scored.body.contains("Mira keeps bees."), "{}", scored.body);

    let training = "/v1/characters/Mira/train";
    assert_eq!(served.get(training).json()["state"], "none");
    let begun = served.post(training, "{}");
    assert_eq!(begun.status, 202, "{}", begun.body);
    assert_eq!(begun.json()["state"], "running");
    assert_eq!(served.post(training, "").status, 409);
    let chat =
        json!({"model": "Mira", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi."}]});
    assert_eq!(
        served
            .post("/v1/chat/completions", &chat.to_string())
            .status,
        200
    );
    let start = Instant::now();
    let ended = loop {
        let told = served.get(training).json();
        if told["state"] != "running" {
            break told;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{told}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(ended["state"], "done", "{ended}");
    let notes = ended["notes"].to_string();
    assert!(!notes.contains(folder.path().to_str().unwrap()), "{notes}");
    let after = mira();
    assert_eq!([&after["trained"], &after["stale"]], [true, false]);
    // In the way in which it was trained first.
    let record = folder.path().join("data/Mira/stages/dpo.json");
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(record["inputs"]["seed"], 7, "{record}");
    assert_eq!(
        served
            .post("/v1/chat/completions", &chat.to_string())
            .status,
        200
    );
}
