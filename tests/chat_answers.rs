//! Answers of chat servers in every shape, and what servers must not bring about.

use std::fs;

use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer, answer};
use super::teacher::{KEY, PAGE, QUICK, answers, data, holds, json_of, teach};

/// Wraps an answer as a completion of some shape.
fn completion(choice: Value) -> String {
    json!({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
        .to_string()
}

#[test]
fn an_answer_of_any_shape_is_read_and_nothing_is_paid_for_twice() {
    type Shape = fn(&str) -> String;
    let shapes: [(&str, Shape); 16] = [
        ("parts", |text| {
            completion(json!({"message": {"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm {so}."}]}, {"type": "text", "text": text}]}}))
        }),
        ("parts of parts", |text| {
            completion(json!({"message": {"content": [
            {"type": "text", "text": {"value": text}}]}}))
        }),
        ("an object", |text| {
            completion(
                json!({"message": {"content": serde_json::from_str::<Value>(text).unwrap()}}),
            )
        }),
        ("null beside a thought", |text| {
            completion(json!({"message": {"content": null, "reasoning_content": text}}))
        }),
        ("empty beside a thought", |text| {
            completion(
                json!({"message": {"content": "", "reasoning": format!("I think {{so}}: {text}")}}),
            )
        }),
        ("split", |text| {
            completion(json!({"message": {"reasoning_content": &text[..5], "content": &text[5..]}}))
        }),
        ("a call of a tool", |text| {
            completion(json!({"message": {"content": null, "tool_calls": [
            {"function": {"name": "answer", "arguments": text}}]}}))
        }),
        ("a thought before", |text| {
            completion(json!({"message": {"content": format!("<think>{{a}}</think>\n{text}")}}))
        }),
        ("a thought without opening", |text| {
            completion(json!({"message": {"content": format!("First {{a}}.</think>\n{text}")}}))
        }),
        ("thoughts around", |text| {
            completion(
                json!({"message": {"content": format!("<think>a</think>{text}<think>b</think>")}}),
            )
        }),
        ("all of it a thought", |text| {
            completion(json!({"message": {"content": format!("<think>{text}</think>")}}))
        }),
        ("text of a choice", |text| completion(json!({"text": text}))),
        ("a delta", |text| {
            completion(json!({"delta": {"content": text}}))
        }),
        ("no choices but a message", |text| {
            json!({"message": {"role": "assistant", "content": text}, "done": true}).to_string()
        }),
        ("odd usage", |text| {
            json!({"choices": [{"index": "0", "message": {"content": text}, "logprobs": {"content": null}}],
            "usage": {"prompt_tokens": -1, "completion_tokens": "many"}, "error": null}).to_string()
        }),
        ("numbers of Python", |text| {
            format!(
                "{{\"choices\": [{{\"message\": {{\"content\": {}}}, \"score\": -Infinity, \"p\": NaN}}]}}",
                json!(text)
            )
        }),
    ];
    for (name, shape) in shapes {
        let server = ChatServer::new(QUICK, move |request| {
            Act::Body(shape(&answer(&request.messages)))
        });
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &server.base(), &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {told}");
        assert!(
            data(folder.path())[0].contains("Mira is a carpenter from Riga."),
            "{name}"
        );
        let log = server.log();
        assert!(answers(&log).values().all(|&count| count == 1), "{name}");
        let tries_again = log
            .iter()
            .any(|served| served.request.messages.contains("cannot be used"));
        assert!(!tries_again, "{name} is usable as it is");
    }
}

#[test]
fn an_answer_without_text_is_unusable_but_not_asked_for_again_as_it_was() {
    for body in [
        json!({"choices": []}).to_string(),
        completion(json!({"finish_reason": "length", "index": 0})),
        completion(json!({"message": {"content": null, "refusal": "I cannot."}})),
        completion(json!({"message": {"content": []}})),
    ] {
        let empty = body.clone();
        let server = ChatServer::new(QUICK, move |request| {
            if request.body["messages"].as_array().unwrap().len() == 2 {
                Act::Body(empty.clone())
            } else {
                Act::Answer
            }
        });
        let folder = tempfile::tempdir().unwrap();
        json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
        let log = server.log();
        assert!(answers(&log).values().all(|&count| count == 1), "{body}");
        for served in log
            .iter()
            .filter(|served| served.request.messages.contains("cannot be used"))
        {
            let said = served.request.body["messages"][2]["content"]
                .as_str()
                .unwrap();
            assert!(!said.is_empty(), "some servers refuse an empty turn");
        }
    }
}

#[test]
fn a_second_try_after_a_cut_answer_has_more_room() {
    // It thinks 3,000 tokens before it answers.
    let server = ChatServer::new(QUICK, |request| match request.body["max_tokens"].as_u64() {
        Some(3100..) => Act::Answer,
        _ => Act::Body(completion(
            json!({"message": {"content": "", "reasoning_content": "Hm. ".repeat(3000)}, "finish_reason": "length"}),
        )),
    });
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    assert!(data(folder.path())[1].lines().count() > 3);
}

#[test]
fn an_error_inside_a_success_ends_the_run_or_waits_as_its_code_says() {
    for (body, part) in [
        (
            json!({"error": {"code": 402, "message": "credits are used up"}}),
            "the quota at",
        ),
        (
            json!({"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
            "the quota at",
        ),
        (
            json!([{"error": {"code": 401, "message": "no such key"}}]),
            "does not accept the key: no such key",
        ),
        (
            json!({"choices": [{"message": {"content": ""}, "error": {"code": 403, "message": "flagged"}, "finish_reason": "error"}]}),
            "does not allow this key",
        ),
        (
            json!({"object": "error", "message": "The model is gone: not found", "code": 404}),
            "has no model tester-1",
        ),
        (json!({"detail": "Not Found"}), "has no model tester-1"),
    ] {
        let told_body = body.to_string();
        let server = ChatServer::new(QUICK, move |_| Act::Body(told_body.clone()));
        let folder = tempfile::tempdir().unwrap();
        let output = teach(folder.path(), &server.base(), &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && told.contains(part),
            "{body}: {told}"
        );
        assert_eq!(server.log().len(), 1, "{body}");
    }
    let server = ChatServer::new(QUICK, |request| match request.attempt {
        0 => Act::Body(json!({"error": {"code": 429, "message": "slow down"}}).to_string()),
        _ => Act::Answer,
    });
    let folder = tempfile::tempdir().unwrap();
    let made = json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    assert_eq!(
        made["teacher"]["retried"].as_u64().unwrap() * 2,
        made["teacher"]["requests"].as_u64().unwrap()
    );
}

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
            "no chat completion: <html> <b>Welcome",
        ),
        ("", "no chat completion: nothing"),
        ("{\"models\": []}", "no chat completion: {\"models\": []}"),
        ("42", "no chat completion: 42"),
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
    let told = failure(&server, &["--max-tokens", "12000"]);
    assert!(
        told.contains("more than --max-tokens 12000 would be used"),
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
            told.contains("sends its callers to http://") && told.contains("--api-base"),
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
        told.contains("were too long and are left out") && told.contains("rejected.jsonl"),
        "{told}"
    );
    let statements = &data(folder.path())[0];
    assert!(!statements.contains("this and that") && statements.contains("Riga"));
    let aside = fs::read_to_string(folder.path().join("data/Mira/rejected.jsonl")).unwrap();
    assert!(aside.contains("this and that"));
}
