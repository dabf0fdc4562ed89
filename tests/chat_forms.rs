//! What a chat server takes is found out from its refusals, as real servers word them.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer, Request, Served};
use super::teacher::{PAGE, QUICK, data, json_of, teach};

/// A refusal in OpenAI's form.
fn refuse(status: u16, message: &str) -> Act {
    let body =
        json!({"error": {"message": message, "type": "invalid_request_error", "code": null}});
    Act::Fail(status, body.to_string(), None)
}

/// Teaches through a server; returns what it logged, what was told and the summary.
fn taught(server: &ChatServer, more: &[&str]) -> (Vec<Served>, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), more).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = json_of(&output);
    assert!(data(folder.path())[0].contains("Mira is a carpenter from Riga."));
    (server.log(), told, summary)
}

fn refused(log: &[Served]) -> usize {
    log.iter().filter(|served| !served.answered).count()
}

fn has_system(request: &Request) -> bool {
    request.body["messages"][0]["role"] == "system"
}

#[test]
fn the_token_limit_goes_under_the_name_that_the_server_knows_and_never_under_two() {
    let mistral = json!({"object": "error", "message": {"detail": [{
        "type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted",
        "input": 8192,
    }]}});
    let openai = json!({"error": {
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter",
    }});
    for (known, other, status, refusal) in [
        ("max_tokens", "max_completion_tokens", 422, mistral),
        ("max_completion_tokens", "max_tokens", 400, openai),
    ] {
        let server = ChatServer::new(QUICK, move |request| {
            if request.body.get(other).is_some() {
                Act::Fail(status, refusal.to_string(), None)
            } else {
                Act::Answer
            }
        });
        let (log, told, _) = taught(&server, &[]);
        assert!(refused(&log) <= 1, "found out once");
        for served in &log {
            let body = &served.request.body;
            assert!(
                body.get("max_tokens").is_none() || body.get("max_completion_tokens").is_none()
            );
            assert!(!served.answered || body.get(known).is_some(), "{body}");
            assert_eq!(body["temperature"], 0.0, "nothing else was given up");
            assert!(body.get("response_format").is_some());
        }
        let line = format!(
            "the server at {} takes {known}, a system role",
            server.base()
        );
        assert!(told.contains(&line), "{told}");
    }
}

#[test]
fn an_endless_model_is_bounded_by_the_limit_that_its_server_heeds() {
    // Ollama passes over the newer name, and would write on and on.
    let server = ChatServer::new(QUICK, |request| match request.body["max_tokens"].as_u64() {
        Some(1..=8192) => Act::Answer,
        _ => Act::Hang(std::time::Duration::from_secs(600)),
    });
    let (log, ..) = taught(&server, &["--timeout", "5"]);
    assert_eq!(refused(&log), 0);

    // Answers that are longer than the limit are taken for a sign that its name is not known.
    let server = ChatServer::new(QUICK, |request| {
        let answer = super::chat_server::answer(&request.messages);
        let used = if request.body.get("max_tokens").is_some() {
            30_000
        } else {
            10
        };
        let usage = json!({"prompt_tokens": 100, "completion_tokens": used});
        Act::Body(
            json!({"choices": [{"message": {"content": answer}}], "usage": usage}).to_string(),
        )
    });
    let (log, ..) = taught(&server, &["--concurrency", "1"]);
    assert!(log[0].request.body.get("max_tokens").is_some());
    assert!(
        log[1..]
            .iter()
            .all(|served| served.request.body.get("max_completion_tokens").is_some())
    );
}

#[test]
fn a_system_role_that_is_refused_is_put_into_the_users_turn() {
    for (status, body) in [
        (
            400,
            json!({"object": "error", "message": "System role not supported", "code": 400}),
        ),
        (
            500,
            json!({"error": {"message": "System role not supported"}}),
        ),
        (
            400,
            json!({"error": {"message": "'messages[0].role' does not support 'system' with this model."}}),
        ),
        (
            400,
            json!({"message": "Conversation roles must alternate user/assistant/user/assistant/..."}),
        ),
        (
            400,
            json!([{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3"}}]),
        ),
    ] {
        let refusal = body.to_string();
        let server = ChatServer::new(QUICK, move |request| {
            if has_system(request) {
                Act::Fail(status, refusal.clone(), None)
            } else {
                Act::Answer
            }
        });
        let (log, told, _) = taught(&server, &[]);
        assert_eq!(refused(&log), 1, "{body}");
        for served in log.iter().filter(|served| served.answered) {
            let first = &served.request.body["messages"][0];
            assert_eq!(first["role"], "user");
            assert!(
                first["content"]
                    .as_str()
                    .unwrap()
                    .starts_with("You prepare data")
            );
            assert!(served.request.body.get("response_format").is_some());
        }
        assert!(told.contains("no system role, a JSON schema"), "{told}");
    }
}

#[test]
fn the_context_of_a_server_is_read_from_its_refusal_and_nothing_else_is_given_up() {
    for (context, sentence) in [
        (
            4096,
            "This model's maximum context length is {c} tokens. However, you requested {sum} tokens ({p} in the messages, {m} in the completion). Please reduce the length of the messages or completion.",
        ),
        (
            2048,
            "'max_tokens' or 'max_completion_tokens' is too large: {m}. This model's maximum context length is {c} tokens and your request has {p} input tokens ({m} > {c} - {p}).",
        ),
        (
            1500,
            "the request exceeds the available context size ({c} tokens), try increasing it",
        ),
        (2048, "context length exceeded"),
    ] {
        let server = ChatServer::new(QUICK, move |request| {
            // A tokenizer that makes a third more of a text than is estimated.
            let prompt = request.messages.len() as u64 / 3;
            let most = request.body["max_tokens"].as_u64().unwrap();
            if prompt + most <= context {
                return Act::Answer;
            }
            let named = sentence
                .replace("{c}", &context.to_string())
                .replace("{sum}", &(prompt + most).to_string())
                .replace("{p}", &prompt.to_string())
                .replace("{m}", &most.to_string());
            refuse(400, &named)
        });
        let (log, told, _) = taught(&server, &[]);
        assert!(refused(&log) <= 6, "{} refusals: {sentence}", refused(&log));
        for served in &log {
            assert_eq!(served.request.body["temperature"], 0.0);
            assert!(served.request.body.get("response_format").is_some());
        }
        if sentence.contains("{c}") {
            assert!(told.contains(&format!("{context} tokens in all")), "{told}");
        }
    }
}

#[test]
fn a_part_of_a_page_that_does_not_fit_is_read_in_halves() {
    let server = ChatServer::new(QUICK, |request| {
        let prompt = request.messages.len() / 4;
        if prompt + 64 <= 1024 {
            Act::Answer
        } else {
            refuse(
                400,
                &format!("Requested tokens ({prompt}) exceed context window of 1024"),
            )
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = teach(folder.path(), &server.base(), &[]);
    let names: Vec<String> = (0..60)
        .map(|n| format!("Mira has a friend called N{n} Karlson."))
        .collect();
    fs::write(
        folder.path().join("page.txt"),
        format!("{PAGE}\n{}\n", names.join(" ")),
    )
    .unwrap();
    let made = json_of(&command.output().unwrap());
    assert!(made["statements"].as_u64().unwrap() > 60, "{made}");
    let statements = &data(folder.path())[0];
    assert!(statements.contains("N0 Karlson") && statements.contains("N59 Karlson"));
}

#[test]
fn what_a_refusal_does_not_say_is_tried_and_what_was_given_up_in_vain_comes_back() {
    // Two parts are refused without a word of which.
    let server = ChatServer::new(QUICK, |request| {
        let body = &request.body;
        if body.get("temperature").is_some() || body.get("response_format").is_some() {
            refuse(400, "Bad Request")
        } else {
            Act::Answer
        }
    });
    let (log, ..) = taught(&server, &["--concurrency", "1"]);
    let last = log.iter().rfind(|served| served.answered).unwrap();
    assert!(
        has_system(&last.request),
        "the system role was not the fault"
    );
    assert!(last.request.body.get("max_tokens").is_some());
    assert!(refused(&log) < 16, "{}", refused(&log));

    // Words that name many parts do not cost those that are taken.
    let server = ChatServer::new(QUICK, |request| {
        if request.body.get("response_format").is_some() {
            refuse(
                400,
                "Supported are: max_tokens, temperature, messages. Not response_format.",
            )
        } else {
            Act::Answer
        }
    });
    let (log, ..) = taught(&server, &[]);
    let last = &log.last().unwrap().request;
    assert!(last.body["temperature"] == 0.0 && last.body.get("max_tokens").is_some());
}

/// Scores with a chat model as both judges.
fn score(server: &ChatServer) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("statements.txt");
    fs::write(&statements, "Mira sings.\nMira has two brothers.\n").unwrap();
    Command::new(assert_cmd::cargo::cargo_bin!("apc"))
        .args([
            "score",
            "--character",
            "Mira",
            "--query",
            "Do you sing?",
            "--response",
            "I sing.",
        ])
        .args([
            "--relevance",
            "openai:tester-1",
            "--nli",
            "openai:tester-1",
            "--format",
            "json",
        ])
        .args(["--api-base", &server.base(), "--statements"])
        .arg(&statements)
        .arg("--output")
        .arg(folder.path())
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap()
}

#[test]
fn schema_and_log_probabilities_that_do_not_go_together_are_found_out_by_both_judges_at_once() {
    for (status, words) in [
        (500, "Internal Server Error"),
        (400, "logprobs cannot be used with a json_schema"),
    ] {
        let server = ChatServer::new(QUICK, move |request| {
            let has = |name: &str| request.body.get(name).is_some();
            if has("response_format") && has("logprobs") {
                refuse(status, words)
            } else {
                Act::Answer
            }
        });
        let output = score(&server);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let scores = json_of(&output);
        let first = &scores["responses"][0]["statements"][0];
        assert!(
            (first["entailed"].as_f64().unwrap() - 0.9).abs() < 1e-6,
            "{first}"
        );
        assert!(
            told.contains("log-probabilities without a schema"),
            "{told}"
        );
        // Where no words say what it was, it is tried once more whether it was that.
        assert!(
            refused(&server.log()) <= 3,
            "the second judge knows what the first found out"
        );
        let asked = server.log().iter().filter(|served| served.answered).count();
        assert_eq!(asked, 2 + 2, "nothing is asked twice");
    }
}

#[test]
fn judges_without_log_probabilities_say_so_and_ask_nothing_twice() {
    let server = ChatServer::new(QUICK, |request| {
        if request.body.get("logprobs").is_some() {
            let body = json!([{"error": {"code": 400, "message": "Unknown name \"logprobs\": Cannot find field."}}]);
            Act::Fail(400, serde_json::to_string_pretty(&body).unwrap(), None)
        } else {
            Act::Answer
        }
    });
    let output = score(&server);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let scores = json_of(&output);
    assert_eq!(scores["responses"][0]["statements"][0]["entailed"], 1.0);
    assert!(
        told.contains("each label that it gives gets probability 1"),
        "{told}"
    );
    assert_eq!(refused(&server.log()), 1);
    assert_eq!(
        server.log().len(),
        1 + 4,
        "the label is read from the answer that was paid for"
    );
}

#[test]
fn a_slow_server_is_not_buried_under_retries() {
    // It serves one request at a time, and never answers one of them.
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counter, highest) = (under_way.clone(), most.clone());
    let server = ChatServer::new(QUICK, move |request| {
        if request.messages.contains("{\"statements\"") {
            return Act::Answer;
        }
        let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(now, Ordering::SeqCst);
        Act::Hang(std::time::Duration::from_secs(600))
    });
    let folder = tempfile::tempdir().unwrap();
    let output = teach(folder.path(), &server.base(), &["--timeout", "0.3"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("did not answer within 0.3 s, 3 times; raise --timeout"),
        "{told}"
    );
    assert!(told.contains("it gets 1 request at once now"), "{told}");
    let hung = refused(&server.log());
    assert!(
        hung <= 3 * 8,
        "{hung} requests were sent to a server that answers none"
    );
    assert!(told.contains(&format!("{hung} cancelled")), "{told}");
}

#[test]
fn llama_cpps_python_server_is_asked_for_a_json_object_as_its_refusal_says() {
    // It passes over what it does not know, and refuses what it does know with status 500 and a traceback.
    let words = "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input \
         should be 'text' or 'json_object'\", 'input': 'json_schema', 'ctx': {'expected': \"'text' or 'json_object'\"}}\n\n  \
         File \"app.py\", line 376, in create_chat_completion\n    POST /v1/chat/completions";
    let error =
        json!({"message": words, "type": "internal_server_error", "param": null, "code": null});
    let body = json!({"error": error}).to_string();
    let server = ChatServer::new(QUICK, move |request| {
        let format = &request.body["response_format"];
        if format["type"] == "json_object" && format["schema"]["required"].is_array() {
            Act::Answer
        } else {
            Act::Fail(500, body.clone(), None)
        }
    });
    let (log, told, _) = taught(&server, &[]);
    assert_eq!(refused(&log), 1, "its words say what to ask for");
    assert!(
        told.contains("takes max_tokens, a system role, a JSON object, a temperature"),
        "{told}"
    );
}
