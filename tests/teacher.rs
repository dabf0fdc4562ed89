//! A chat model as teacher, as a user runs it, against a server on loopback.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer, Request, Served, answer};

pub(super) const PAGE: &str = "Mira is a carpenter from Riga. She plays the cello on Sundays. She has two brothers. \
Her mother is a nurse.\n\nMira is afraid of heights. She was born in 1990.\n";
pub(super) const KEY: &str = "sk-not-to-be-seen-1234567890";
pub(super) const QUICK: Duration = Duration::ZERO;

/// `train` with a chat model, up to the data that its teacher makes.
pub(super) fn teach(folder: &Path, base: &str, more: &[&str]) -> Command {
    fs::write(folder.join("page.txt"), PAGE).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    command
        .args(["train", "--character", "Mira", "--model-engine", "tester-1"])
        .args(["--use-pretrained-discriminator", "false", "--data-only"])
        .args(["--format", "json", "--api-base", base, "--wiki"])
        .arg(folder.join("page.txt"))
        .arg("--output")
        .arg(folder)
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("OPENAI_API_KEY", KEY);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "OPENAI_BASE_URL",
    ] {
        command.env_remove(name);
    }
    command
}

pub(super) fn json_of(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The files that a teacher's data is in.
pub(super) fn data(folder: &Path) -> Vec<String> {
    [
        "statements",
        "queries",
        "held-out-queries",
        "relevance",
        "nli",
    ]
    .map(|name| {
        let path = folder.join(format!("data/Mira/{name}.jsonl"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
    .to_vec()
}

/// How often each conversation was answered.
pub(super) fn answers(log: &[Served]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for served in log.iter().filter(|served| served.answered) {
        *counts.entry(served.request.messages.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn the_data_does_not_depend_on_how_many_requests_go_at_once() {
    let mut runs = Vec::new();
    for concurrency in ["1", "8", "32"] {
        let server = ChatServer::new(Duration::from_millis(50), |_| Act::Answer);
        let folder = tempfile::tempdir().unwrap();
        let mut command = teach(
            folder.path(),
            &server.base(),
            &["--concurrency", concurrency],
        );
        let made = json_of(&command.output().unwrap());
        let log = server.log();
        assert_eq!(made["teacher"]["requests"], log.len());
        assert_eq!(made["teacher"]["answered"], log.len());
        assert_eq!(made["teacher"]["prompt_tokens"], 100 * log.len());
        assert!(answers(&log).values().all(|&count| count == 1));
        let sent = log[0].request.authorization.clone();
        assert_eq!(sent, Some(format!("Bearer {KEY}")));
        runs.push((server.most_at_once(), data(folder.path()), log.len()));
    }
    assert!(runs[0].2 > 50, "{} requests", runs[0].2);
    assert_eq!(runs[0].1, runs[1].1);
    assert_eq!(runs[0].1, runs[2].1);
    assert!(runs[0].1[0].contains("Mira is a carpenter from Riga."));
    assert_eq!(runs[0].0, 1);
    assert!((2..=8).contains(&runs[1].0), "{} at once", runs[1].0);
    assert!((2..=32).contains(&runs[2].0), "{} at once", runs[2].0);
}

#[test]
fn an_answer_that_is_cut_off_is_not_used_and_asked_for_again() {
    let server = ChatServer::new(QUICK, |request| {
        let is_first = request.body["messages"].as_array().unwrap().len() == 2;
        if is_first { Act::Cut } else { Act::Answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let made = json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let log = server.log();
    let again = |served: &&Served| served.request.body["messages"].as_array().unwrap().len() > 2;
    assert_eq!(log.iter().filter(again).count(), log.len() / 2);
    assert_eq!(made["teacher"]["answered"], log.len());
    assert!(data(folder.path())[0].contains("Mira is a carpenter from Riga."));
}

/// A number from 0 to 99 that depends on a conversation and how often it came.
fn chance(request: &Request) -> u64 {
    let text = format!("{}{}", request.messages, request.attempt);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 20) % 100
}

/// 30 % too many requests, 10 % server errors, 5 % dropped, 5 % silent, 5 % nonsense, 2 % cut off, 1 % empty.
fn misbehave(request: &Request) -> Act {
    let busy = json!({"error": {"message": "slow down", "type": "requests", "code": "rate_limit"}});
    match chance(request) {
        0..30 => Act::Fail(429, busy.to_string(), Some("0")),
        30..40 => Act::Fail(500, "<html>oops</html>".into(), None),
        40..45 => Act::Drop,
        45..50 => Act::Hang(Duration::from_secs(2)),
        50..55 => Act::Say("I would rather talk about cheese.".into()),
        55..57 => {
            let whole = answer(&request.messages);
            let mut cut = whole.len() / 2;
            while !whole.is_char_boundary(cut) {
                cut -= 1;
            }
            Act::Say(whole[..cut].to_string())
        }
        57 => Act::Say(String::new()),
        _ => Act::Answer,
    }
}

#[test]
fn a_server_that_misbehaves_is_asked_until_all_is_there_and_the_report_adds_up() {
    let server = ChatServer::new(QUICK, misbehave);
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), &["--timeout", "1"])
        .output()
        .unwrap();
    let made = json_of(&output);
    let log = server.log();
    let answered = log.iter().filter(|served| served.answered).count();
    assert_eq!(made["teacher"]["requests"], log.len());
    assert_eq!(made["teacher"]["answered"], answered);
    assert_eq!(made["teacher"]["retried"], log.len() - answered);
    assert!(log.len() > answered + 20, "{} of {}", answered, log.len());
    assert!(
        answers(&log).values().all(|&count| count == 1),
        "nothing is asked twice"
    );
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("tester-1 will be asked about"), "{told}");
    assert!(told.contains("sent again"), "{told}");
    assert!(data(folder.path())[3].lines().count() > 20);

    // A second run has nothing to ask.
    let again = json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    assert_eq!(again["teacher"], Value::Null);
    assert_eq!(server.log().len(), log.len());
}

#[test]
fn an_edited_page_asks_only_what_is_new_and_making_all_again_asks_nothing() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let first = json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let made = data(folder.path());
    let asked = server.log().len();

    let forced = teach(folder.path(), &server.base(), &["--force"])
        .output()
        .unwrap();
    assert_eq!(json_of(&forced)["statements"], first["statements"]);
    let told = String::from_utf8_lossy(&forced.stderr).into_owned();
    let all = "asked for: statements, queries, judge-data again";
    assert!(told.contains(all), "{told}");
    assert_eq!(server.log().len(), asked, "every answer was kept");
    assert_eq!(data(folder.path()), made);

    let mut longer = teach(folder.path(), &server.base(), &[]);
    let page = format!("{PAGE}\nShe lives by the harbour.\n");
    fs::write(folder.path().join("page.txt"), page).unwrap();
    let longer = longer.output().unwrap();
    let more = json_of(&longer)["statements"].as_u64().unwrap();
    assert_eq!(more, first["statements"].as_u64().unwrap() + 1);
    let told = String::from_utf8_lossy(&longer.stderr).into_owned();
    let all = "page changed: statements, queries, judge-data again";
    assert!(told.contains(all), "{told}");
    let log = server.log();
    assert!(log.len() > asked);
    assert!(
        answers(&log).values().all(|&count| count == 1),
        "nothing is asked twice"
    );
}

/// Waits until the server has seen so many requests, or the run is over.
fn wait_for(server: &ChatServer, requests: usize, run: &mut Child) {
    while server.log().len() < requests && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_that_is_killed_ten_times_asks_nothing_again_and_makes_the_same_files() {
    let undisturbed = tempfile::tempdir().unwrap();
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    json_of(
        &teach(undisturbed.path(), &server.base(), &[])
            .output()
            .unwrap(),
    );
    let needed = server.log().len();

    let server = ChatServer::new(Duration::from_millis(5), |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    for kill in 1..=10 {
        let mut run = teach(folder.path(), &server.base(), &[]);
        let mut run = run
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&server, kill * needed / 12, &mut run);
        // What was answered has time to reach the disk; what is asked now is never answered.
        server.shut();
        let kept = || {
            let path = folder.path().join("data/Mira/answers.jsonl");
            fs::read_to_string(path).map_or(0, |text| text.lines().count())
        };
        let answered = answers(&server.log()).len();
        let start = Instant::now();
        while kept() < answered {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{} of {answered}",
                kept()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(run.try_wait().unwrap().is_none(), "killed before its end");
        run.kill().unwrap();
        run.wait().unwrap();
        // Whatever was sent to the killed run is over.
        std::thread::sleep(Duration::from_millis(100));
        server.open();
    }
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let log = server.log();
    assert!(
        answers(&log).values().all(|&count| count == 1),
        "a repeated answer"
    );
    assert_eq!(answers(&log).len(), needed);
    assert_eq!(data(folder.path()), data(undisturbed.path()));
}

#[test]
fn what_cannot_work_ends_at_once_in_one_line_without_the_key() {
    let error = |message: &str, code: &str| {
        json!({"error": {"message": message, "type": code, "code": code}}).to_string()
    };
    let quota = error("You exceeded your current quota.", "insufficient_quota");
    let unknown = error(
        &format!("Incorrect API key provided: {KEY}."),
        "invalid_api_key",
    );
    let servers = [
        (401, unknown, "does not accept the key"),
        (
            403,
            error("no access", "forbidden"),
            "does not allow this key to use tester-1",
        ),
        (
            404,
            json!({"object": "error", "message": "The model does not exist.", "code": 404})
                .to_string(),
            "has no model tester-1",
        ),
        (429, quota, "quota"),
        (
            400,
            error("context length exceeded", "invalid"),
            "status 400: context length exceeded",
        ),
    ]
    .map(|(status, body, part)| {
        let server = ChatServer::new(QUICK, move |_| Act::Fail(status, body.clone(), None));
        (server, part)
    });
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}/v1", nobody.local_addr().unwrap());
    drop(nobody);
    let plain = ChatServer::new(QUICK, |_| Act::Answer);
    let tls = format!("https://127.0.0.1:{}/v1", plain.port);
    let mut cases: Vec<(String, &str, &str, i32)> = servers
        .iter()
        .map(|(server, part)| (server.base(), KEY, *part, 1))
        .collect();
    cases.push((gone, KEY, "check that the server runs", 1));
    cases.push((tls, KEY, "TLS", 1));
    cases.push((
        plain.base(),
        "sk-not-to-be-seen-1234567890\n",
        "OPENAI_API_KEY has a space or a line break",
        2,
    ));
    cases.push(("localhost:8000".into(), KEY, "is no address of a server", 2));
    cases.push((
        "https://api.openai.com/v1".into(),
        "",
        "OPENAI_API_KEY is not set",
        2,
    ));

    for (base, key, part, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &base, &[])
            .env("OPENAI_API_KEY", key)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        let errors: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains(part),
            "{part}: {told}"
        );
        assert!(output.stdout.is_empty());
        assert!(!told.contains("sk-not-to-be-seen"), "{told}");
        assert!(
            !holds(folder.path(), "sk-not-to-be-seen"),
            "{part}: the key is in a file"
        );
    }
}

/// Whether a text is in any file of a folder.
pub(super) fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, text)
        } else {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text)
        }
    })
}

#[test]
fn a_server_that_takes_neither_schema_nor_temperature_is_found_out_once() {
    let refusal = |what: &str| {
        let message = format!("Unsupported parameter: '{what}'.");
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        Act::Fail(400, body.to_string(), None)
    };
    let server = ChatServer::new(QUICK, move |request| {
        if request.body.get("temperature").is_some() {
            refusal("temperature")
        } else if request.body.get("response_format").is_some() {
            refusal("response_format")
        } else {
            Act::Answer
        }
    });
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let refused: Vec<bool> = server.log().iter().map(|served| !served.answered).collect();
    assert!(
        refused[0] && refused[1] && !refused[2..].contains(&true),
        "{refused:?}"
    );

    // Where a schema is taken, it is sent.
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let body = &server.log()[0].request.body;
    let schema = &body["response_format"]["json_schema"];
    assert_eq!(schema["name"], "statements");
    assert_eq!(schema["schema"]["required"], json!(["statements"]));
    assert_eq!(body["temperature"], 0.0);
}

#[test]
fn answers_that_cannot_be_used_are_kept_aside_and_many_of_them_end_the_stage() {
    // One statement's questions are never usable: two of a dozen or so rounds, which is too many.
    let stubborn = |request: &Request| {
        let hopeless = request.messages.contains("Mira has two brothers.")
            && request.messages.contains("{\"questions\"");
        if hopeless {
            Act::Say("No.\n{\"questions\": [".into())
        } else {
            Act::Answer
        }
    };
    let server = ChatServer::new(QUICK, stubborn);
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), &[]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("answers for the stage queries could not be used"),
        "{told}"
    );
    let aside = fs::read_to_string(folder.path().join("data/Mira/rejected.jsonl")).unwrap();
    let aside: Value = serde_json::from_str(aside.lines().next().unwrap()).unwrap();
    assert_eq!(aside["task"], "queries");
    assert_eq!(aside["replies"].as_array().unwrap().len(), 2);
    assert!(
        aside["reason"]
            .as_str()
            .unwrap()
            .contains("not a complete JSON")
    );
    let complaint = server
        .log()
        .into_iter()
        .find(|served| served.request.messages.contains("This cannot be used"));
    assert!(
        complaint
            .unwrap()
            .request
            .messages
            .contains("not a complete JSON")
    );

    // What was answered is not asked again.
    let asked = server.log().len();
    let again = teach(folder.path(), &server.base(), &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(server.log().len(), asked);
}
