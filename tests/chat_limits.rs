//! What chat servers must not bring about: floods, leaks, wrong answers kept.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer, answer};
use super::teacher::{KEY, PAGE, QUICK, answers, data, holds, json_of, teach};

/// Runs a teacher that fails; returns what was told.
fn failure(server: &ChatServer, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), more).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    told
}

#[test]
fn a_success_that_is_no_completion_is_quoted_and_asked_for_once() {
    for (body, part) in [
        (
            "<html>\n<b>Welcome</b></html>",
            "did not return a chat completion: <html> <b>Welcome",
        ),
        ("", "did not return a chat completion: nothing"),
        (
            "{\"models\": []}",
            "did not return a chat completion: {\"models\": []}",
        ),
        ("42", "did not return a chat completion: 42"),
    ] {
        let server = ChatServer::new(QUICK, move |_| Act::Body(body.into()));
        let told = failure(&server, &[]);
        assert!(
            told.contains(part) && told.contains("--api-base") && !told.contains("502"),
            "{told}"
        );
        assert_eq!(server.log().len(), 1);
    }
}

#[test]
fn replies_errors_and_pauses_without_end_are_limited_in_a_sentence() {
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"choices\": [{\"message\": {\"content\": \"";
    let server = ChatServer::new(QUICK, move |_| Act::Endless(endless.into()));
    let told = failure(&server, &[]);
    assert!(told.contains("answers with more than 64 MB"), "{told}");
    assert_eq!(server.log().len(), 1);

    let endless = "HTTP/1.1 403 No\r\nContent-Type: application/json\r\n\r\n{\"error\": \"";
    let server = ChatServer::new(QUICK, move |_| Act::Endless(endless.into()));
    let told = failure(&server, &[]);
    assert!(
        told.contains("does not allow") && told.len() < 2000,
        "{} bytes",
        told.len()
    );

    let long = json!({"error": {"message": "no ".repeat(1_000_000)}}).to_string();
    let server = ChatServer::new(QUICK, move |_| Act::Fail(403, long.clone(), None));
    assert!(failure(&server, &[]).len() < 2000);

    for (wait, words) in [
        ("1e9", "11574 days"),
        ("7201", "2 hours"),
        ("1e300", "days"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "days"),
    ] {
        let server = ChatServer::new(QUICK, move |_| Act::Fail(429, "{}".into(), Some(wait)));
        let told = failure(&server, &[]);
        assert!(
            told.contains("asks to wait") && told.contains(words),
            "{told}"
        );
        assert_eq!(server.log().len(), 1);
    }
}

#[test]
fn a_usage_that_cannot_be_does_not_defeat_the_limit() {
    let server = ChatServer::new(QUICK, |request| {
        let usage = json!({"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX});
        let content = answer(&request.messages);
        Act::Body(
            json!({"choices": [{"message": {"content": content}}], "usage": usage}).to_string(),
        )
    });
    // One at a time: how many are on their way when the limit is reached would differ from run to run.
    let told = failure(&server, &["--max-tokens", "8500", "--concurrency", "1"]);
    assert!(
        told.contains("more than --max-tokens 8500 would be used"),
        "{told}"
    );
    let sent = server.log().len();
    assert!((1..30).contains(&sent), "{sent}");
}

#[test]
fn a_prompt_that_the_server_cut_is_an_error_that_says_so() {
    let server = ChatServer::new(QUICK, |request| {
        let usage = json!({"prompt_tokens": 256, "completion_tokens": 10});
        let content = answer(&request.messages);
        Act::Body(
            json!({"choices": [{"message": {"content": content}}], "usage": usage}).to_string(),
        )
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = teach(folder.path(), &server.base(), &[]);
    fs::write(folder.path().join("page.txt"), PAGE.repeat(15)).unwrap();
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("has read only 256 of about"), "{told}");
    let kept =
        fs::read_to_string(folder.path().join("data/Mira/answers.jsonl")).unwrap_or_default();
    assert_eq!(kept, "", "an answer to half a question is not used later");
}

#[test]
fn escape_sequences_of_a_server_reach_neither_the_terminal_nor_the_data() {
    let server = ChatServer::new(QUICK, |_| {
        Act::Fail(
            403,
            json!({"error": "\u{1b}[31mno\u{1b}]0;t\u{7}\u{9b}2J \r\u{202e}"}).to_string(),
            None,
        )
    });
    let told = failure(&server, &[]);
    let is_obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!told.contains(is_obeyed) && told.contains("no"), "{told:?}");

    let server = ChatServer::new(QUICK, |request| {
        let text = answer(&request.messages).replace("Mira ", "Mira\\u001b[31m \\u009b1m");
        Act::Say(text.replace("cello", "ce\u{9b}1mllo"))
    });
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    for text in data(folder.path()) {
        assert!(
            !text.contains("\\u001b") && !text.contains(is_obeyed),
            "{text:?}"
        );
    }
    assert!(data(folder.path())[0].contains("Mira is a carpenter from Riga."));
    let kept = fs::read_to_string(folder.path().join("data/Mira/answers.jsonl")).unwrap();
    assert!(!kept.contains(is_obeyed));
}

#[test]
fn secrets_of_the_address_are_sent_but_never_told_or_written() {
    let server = ChatServer::new(QUICK, |request| {
        let echo = format!(
            "no access for hidden-user:hidden-pass with hidden-key and {:?}",
            request.authorization
        );
        Act::Fail(403, json!({"error": {"message": echo}}).to_string(), None)
    });
    let base = format!(
        "http://hidden-user:hidden-pass@127.0.0.1:{}/v1?api-key=hidden-key",
        server.port
    );
    let gone = "http://hidden-user:hidden-pass@127.0.0.1:1/v1?api-key=hidden-key".to_string();
    let malformed = "hidden-user:hidden-pass@127.0.0.1/v1?api-key=hidden-key".to_string();
    for (base, code) in [(base, 1), (gone, 1), (malformed, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &base, &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        for secret in ["hidden", KEY] {
            assert!(!told.contains(secret), "{told}");
            assert!(!holds(folder.path(), secret));
        }
    }
    let sent = server.log()[0].request.authorization.clone().unwrap();
    assert!(
        sent.starts_with("Basic "),
        "the address's user, and no key that is not its own: {sent}"
    );
}

#[test]
fn a_redirect_to_another_host_or_port_gets_nothing() {
    let target = ChatServer::new(QUICK, |_| Act::Answer);
    for (status, location) in [
        (
            307,
            format!(
                "http://127.0.0.1:{}/v1/chat/completions?token=hidden",
                target.port
            ),
        ),
        (
            308,
            format!("http://localhost:{}/v1/chat/completions", target.port),
        ),
        (302, "/elsewhere".to_string()),
    ] {
        let response =
            format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = ChatServer::new(QUICK, move |_| Act::Raw(response.clone()));
        let told = failure(&server, &[]);
        assert!(
            told.contains("redirects to http://") && told.contains("--api-base"),
            "{told}"
        );
        assert!(!told.contains("hidden"), "{told}");
        assert_eq!(server.log().len(), 1);
    }
    assert_eq!(target.log().len(), 0, "neither page nor key went there");
}

#[test]
fn another_server_is_asked_anew_and_the_first_ones_answers_are_kept() {
    let servers = [(); 2].map(|()| ChatServer::new(QUICK, |_| Act::Answer));
    let folder = tempfile::tempdir().unwrap();
    let run = |server: &ChatServer| {
        let output = teach(folder.path(), &server.base(), &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        json_of(&output);
        told
    };
    run(&servers[0]);
    let told = run(&servers[1]);
    assert!(told.contains("teacher"), "the change is told: {told}");
    let asked = servers.each_ref().map(|server| server.log().len());
    assert_eq!(asked[0], asked[1]);
    run(&servers[0]);
    assert_eq!(servers[0].log().len(), asked[0], "its answers were kept");
    let address = format!("127.0.0.1:{}", servers[0].port);
    assert!(
        !holds(folder.path(), &address),
        "who gets the data does not learn where the server is"
    );
}

#[test]
fn what_no_run_can_use_is_refused_by_the_name_of_its_flag() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    for (flag, value) in [
        ("--concurrency", "1000000000"),
        ("--concurrency", "0"),
        ("--timeout", "1e300"),
        ("--timeout", "0"),
        ("--timeout", "-3"),
        ("--timeout", "nan"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &server.base(), &[&format!("{flag}={value}")])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {told}");
        assert!(told.contains(&format!("error: {flag}")), "{told}");
    }
    assert_eq!(server.log().len(), 0);
}

#[test]
fn one_over_long_sentence_of_a_teacher_is_left_out_and_the_rest_is_used() {
    let long = format!("Mira knows {}.", "this and that and ".repeat(200));
    let told_long = long.clone();
    let server = ChatServer::new(QUICK, move |request| {
        let text = answer(&request.messages);
        if !text.contains("\"statements\"") {
            return Act::Say(text);
        }
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["statements"]
            .as_array_mut()
            .unwrap()
            .push(json!(told_long));
        Act::Say(value.to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), &[]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    json_of(&output);
    assert!(
        told.contains("cannot be used and are left out") && told.contains("rejected.jsonl"),
        "{told}"
    );
    let statements = &data(folder.path())[0];
    assert!(!statements.contains("this and that") && statements.contains("Riga"));
    let aside = fs::read_to_string(folder.path().join("data/Mira/rejected.jsonl")).unwrap();
    assert!(aside.contains("this and that"));
}

#[test]
fn a_sentence_about_the_example_of_the_prompt_is_left_out() {
    let server = ChatServer::new(QUICK, |request| {
        Act::Say(answer(&request.messages).replace("Mira has", "Odile has"))
    });
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    let statements = &data(folder.path())[0];
    assert!(
        !statements.contains("Odile") && statements.contains("cello"),
        "{statements}"
    );
    let aside = fs::read_to_string(folder.path().join("data/Mira/rejected.jsonl")).unwrap();
    assert!(
        aside.contains("Odile, who is only in the prompt's example"),
        "{aside}"
    );
}

#[test]
fn an_over_long_sentence_that_was_imported_is_told_with_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("statement");
    fs::create_dir(&old).unwrap();
    let long = format!("Mira knows {}.", "this and that and ".repeat(250));
    let of = |statement: &str| json!({"character": "Mira", "passage": "", "statement": statement});
    let statements = json!([of("Mira sings."), of(&long), of("Mira has two brothers.")]);
    fs::write(old.join("Mira.json"), statements.to_string()).unwrap();
    let asked = json!([{"statement": "Mira sings.", "queries": ["Who?", "What?", "Why?"]}]);
    fs::write(
        old.join("Mira.query_relevant_to_statement.json"),
        asked.to_string(),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("apc"));
        command
            .args(arguments)
            .args(["--character", "Mira", "--output"])
            .arg(folder.path());
        command.output().unwrap()
    };
    assert!(run(&["import", old.to_str().unwrap()]).status.success());
    let output = run(&["train", "--model-engine", "imported"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("statements.jsonl: line 2: \"Mira knows this and that"),
        "{told}"
    );
}

#[test]
fn limits_hold_and_a_dry_run_asks_nothing() {
    let server = ChatServer::new(QUICK, |_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let mut dry = teach(folder.path(), &server.base(), &["--dry-run"]);
    let refused = dry.output().unwrap();
    assert_eq!(
        refused.status.code(),
        Some(2),
        "--dry-run and --data-only are two things"
    );
    // It needs neither the key nor the Gemma of the run itself.
    let plan = Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args(["train", "--character", "Mira", "--model-engine", "tester-1"])
        .args([
            "--dry-run",
            "--prp-scale",
            "7b",
            "--format",
            "json",
            "--wiki",
        ])
        .arg(folder.path().join("page.txt"))
        .arg("--output")
        .arg(folder.path())
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let plan = json_of(&plan);
    assert_eq!(plan["model"], "tester-1");
    assert!(
        (5..40).contains(&plan["requests"].as_u64().unwrap()),
        "{plan}"
    );
    assert!(plan["tokens"].as_u64().unwrap() > 1000, "{plan}");
    assert_eq!(server.log().len(), 0);
    assert!(!folder.path().join("data").exists(), "nothing is written");

    for (limit, most) in [("--max-requests", "7"), ("--max-tokens", "12000")] {
        let server = ChatServer::new(QUICK, |_| Act::Answer);
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &server.base(), &[limit, most])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && told.contains(limit),
            "{told}"
        );
        let sent = server.log().len();
        if limit == "--max-requests" {
            assert_eq!(sent, 7);
        }
        assert!(sent > 0 && sent * 110 <= 12_000, "{sent}");
        // A higher limit goes on where the lower one stopped.
        let made = json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
        assert_eq!(made["teacher"]["answered"], server.log().len() - sent);
        assert!(answers(&server.log()).values().all(|&count| count == 1));
    }
}
