//! `apc serve` from outside: what clients send, and what they get.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cli::text;
use super::served::Served;

fn delta_apcs(answer: &Value) -> Vec<f64> {
    let choices = answer["choices"].as_array().unwrap();
    choices
        .iter()
        .map(|choice| choice["apc"]["delta_apc"].as_f64().unwrap())
        .collect()
}

#[test]
fn a_chat_is_answered_with_what_the_reply_does_with_the_statements() {
    let served = Served::start(&[], None);
    let answer = served.chat(json!({"temperature": 0}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    assert_eq!(json["object"], "chat.completion");
    assert_eq!(json["model"], "Alice");
    let choice = &json["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert!(!choice["message"]["content"].as_str().unwrap().is_empty());
    assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().unwrap()));
    assert_eq!(choice["logprobs"], Value::Null);
    let apc = &choice["apc"];
    assert!(apc["delta_apc"].is_f64() && !apc["retrieved"].as_array().unwrap().is_empty());
    let usage = &json["usage"];
    let sum =
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);

    // The same without a version, with double slashes, and with fields that nobody knows.
    let body = json!({"model": "alice", "messages": [{"role": "user", "content": [{"type": "text", "text": "Where do you live?"}]}],
        "temperature": 0.0, "max_tokens": null, "stop": null, "reasoning": {"effort": "low"}, "user": "me", "max_completion_tokens": -1});
    for path in ["/chat/completions", "//v1//chat/completions/"] {
        let again = served.post(path, &body.to_string()).json();
        assert_eq!(again["choices"][0]["message"], choice["message"], "{path}");
    }
    // Without the adapter, and without the character.
    for model in ["Alice@base", "base"] {
        let json = served.chat(json!({"model": model, "max_tokens": 8})).json();
        assert_eq!(json["model"], model, "{json}");
        let has_apc = json["choices"][0].get("apc").is_some();
        assert_eq!(has_apc, model != "base");
    }
}

#[test]
fn a_stream_is_the_same_reply_in_pieces() {
    let served = Served::start(&[], None);
    let whole = served
        .chat(json!({"temperature": 0, "logprobs": true, "top_logprobs": 2}))
        .json();
    let settings = json!({"temperature": 0, "stream": true, "logprobs": true, "top_logprobs": 2,
        "stream_options": {"include_usage": true}});
    let events = served.chat(settings).events();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]),
        (&json!([]), &whole["usage"])
    );
    let mut content = String::new();
    let mut logprobs = Vec::new();
    for chunk in chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
        assert_eq!(chunk["usage"], Value::Null);
        content.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or(""),
        );
        let found = chunk["choices"][0]["logprobs"]["content"].as_array();
        logprobs.extend(found.into_iter().flatten().cloned());
    }
    let choice = &whole["choices"][0];
    assert_eq!(content, choice["message"]["content"].as_str().unwrap());
    let expected = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(logprobs.len(), expected.len());
    for (found, expected) in logprobs.iter().zip(expected) {
        assert_eq!(found["token"], expected["token"]);
        // The second time the prompt is known already, which rounds in another way.
        let logprob = |token: &Value| token["logprob"].as_f64().unwrap();
        assert!((logprob(found) - logprob(expected)).abs() < 1e-4);
    }
    assert_eq!(
        choice["logprobs"]["content"][0]["top_logprobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let end = &chunks.last().unwrap()["choices"][0];
    assert_eq!(end["finish_reason"], choice["finish_reason"]);
    assert_eq!(end["apc"], choice["apc"]);
    assert!(events.len() > 5, "{} pieces", events.len());
    // A reply that is there at once is told once, too.
    for _ in 0..10 {
        let short =
            json!({"temperature": 0, "max_tokens": 1, "stream": true, "apc": {"score": false}});
        let events = served.chat(short).events();
        let pieces = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
        assert_eq!(pieces.collect::<String>(), "I");
    }
}

#[test]
fn several_choices_come_with_the_most_faithful_first() {
    let served = Served::start(&[], None);
    let json = served
        .chat(json!({"n": 5, "temperature": 1.5, "seed": 3}))
        .json();
    let scores = delta_apcs(&json);
    assert_eq!(scores.len(), 5);
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(scores[0] > scores[4], "{scores:?}");
    // As a stream, one choice in a chunk.
    let settings = json!({"n": 5, "temperature": 1.5, "seed": 3, "stream": true});
    let events = served.chat(settings).events();
    for index in 0..5 {
        let own = events
            .iter()
            .filter(|event| event["choices"][0]["index"] == index);
        let text: String = own
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(
            text,
            json["choices"][index]["message"]["content"]
                .as_str()
                .unwrap()
        );
    }
    // The best of as many is the first of them.
    let best = served
        .chat(json!({"apc": {"best_of": 5}, "temperature": 1.5, "seed": 3}))
        .json();
    assert_eq!(best["choices"].as_array().unwrap().len(), 1);
    assert_eq!(best["choices"][0]["message"], json["choices"][0]["message"]);
    assert_eq!(best["choices"][0]["apc"]["sampled"], 5);
    // What cannot be reached is tried three times.
    let settings = json!({"apc": {"min_delta_apc": 1e6}, "temperature": 1.5});
    assert_eq!(
        served.chat(settings).json()["choices"][0]["apc"]["sampled"],
        3
    );
}

#[test]
fn a_reply_ends_before_a_stop_text_and_goes_on_where_it_was_begun() {
    let served = Served::start(&[], None);
    let whole = served.chat(json!({"temperature": 0})).json();
    let whole = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let words: Vec<&str> = whole.split(' ').collect();
    assert!(words.len() >= 3, "{whole}");
    let json = served
        .chat(json!({"temperature": 0, "stop": [words[2]]}))
        .json();
    let cut = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(cut, whole[..whole.find(words[2]).unwrap()].trim_end());
    assert_eq!(json["choices"][0]["finish_reason"], "stop");

    let begun = format!("{} {}", words[0], words[1]);
    let messages = json!([{"role": "user", "content": "Where do you live?"}, {"role": "assistant", "content": begun}]);
    let json = served
        .chat(json!({"temperature": 0, "messages": messages}))
        .json();
    let rest = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(
        format!(
            "{begun}{}",
            if rest.starts_with(' ') {
                rest.to_string()
            } else {
                format!(" {rest}")
            }
        ),
        whole
    );
}

#[test]
fn a_text_goes_on_from_its_words_or_from_their_ids() {
    let served = Served::start(&[], None);
    let asked = |prompt: Value| {
        let body = json!({"model": "base", "prompt": prompt, "temperature": 0, "max_tokens": 6, "echo": true});
        served.post("/v1/completions", &body.to_string())
    };
    let output = super::cli::run(&[
        "logprobs",
        "--model",
        "embedded",
        "--prompt",
        "I live in",
        "--response",
        " a",
        "--format",
        "json",
    ]);
    let ids: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let (of_text, of_ids) = (asked(json!("I live in")), asked(ids["prompt_ids"].clone()));
    let text = of_text.json()["choices"][0]["text"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(text.starts_with("I live in"), "{text}");
    let of_ids = of_ids.json();
    assert!(
        of_ids["choices"][0]["text"]
            .as_str()
            .unwrap()
            .ends_with(&text),
        "{of_ids}"
    );
    let refused = asked(json!([99_999_999]));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("99999999"), "{}", refused.body);
}

#[test]
fn what_the_user_has_told_is_kept_apart_from_the_score() {
    let served = Served::start(&[], None);
    let messages = json!([
        {"role": "user", "content": "I have a dog called Bruno. I'm a nurse."},
        {"role": "assistant", "content": "How nice."},
        {"role": "user", "content": "Do you remember my pet?"},
    ]);
    let response = [
        "You have a dog called Bruno.",
        "I remember that you have no dog.",
        "I live by the sea.",
    ];
    let body = json!({"model": "Alice", "messages": messages, "response": response});
    let scored = served.post("/v1/score", &body.to_string()).json();
    let told = |place: usize| scored["scores"][place]["established"].clone();
    assert_eq!(told(0)[0]["statement"], "User has a dog called Bruno.");
    assert_eq!(told(0)[1]["statement"], "User is a nurse.");
    assert!(told(0)[0]["entailed"].as_f64() > Some(0.5), "{}", told(0));
    assert!(
        told(1)[0]["contradicted"].as_f64() > Some(0.5),
        "{}",
        told(1)
    );
    assert_eq!(told(2), Value::Null);
    let alone =
        json!({"model": "Alice", "query": "Do you remember my pet?", "response": response[2]});
    let alone = served.post("/v1/score", &alone.to_string()).json();
    assert_eq!(
        alone["scores"][0]["statements"].as_array().unwrap().len(),
        42
    );
}

#[test]
fn scores_lists_and_counters_are_served() {
    let served = Served::start(&[], None);
    let models = served.get("/v1/models").json();
    let ids: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["Alice", "base"]);
    assert_eq!(served.get("/models/alice").json()["id"], "Alice");
    let characters = served.get("/v1/characters").json();
    let statements = characters["data"][0]["statements"].as_array().unwrap();
    assert!(statements.len() > 5);
    assert_eq!(
        served.get("/v1/characters/Alice").json(),
        characters["data"][0]
    );

    let statement = statements[0].as_str().unwrap();
    let body =
        json!({"model": "Alice", "query": "Who are you?", "response": [statement, "I am a fish."]});
    let scores = served.post("/v1/score", &body.to_string()).json();
    assert_eq!(scores["scores"].as_array().unwrap().len(), 2);
    assert_eq!(
        scores["scores"][0]["statements"].as_array().unwrap().len(),
        statements.len()
    );
    let body = json!({"model": "Alice", "response": "x"});
    assert_eq!(served.post("/score", &body.to_string()).status, 400);

    let body = json!({"model": "base", "prompt": "Once upon a", "max_tokens": 6, "temperature": 0, "echo": true, "logprobs": 1});
    let completion = served.post("/v1/completions", &body.to_string()).json();
    let choice = &completion["choices"][0];
    assert!(
        choice["text"].as_str().unwrap().starts_with("Once upon a"),
        "{completion}"
    );
    let tokens = choice["logprobs"]["tokens"].as_array().unwrap().len();
    assert_eq!(completion["usage"]["completion_tokens"], tokens);

    assert_eq!(served.get("/health").json(), json!({"status": "ok"}));
    let page = served.get("/");
    assert!(page.headers.contains("text/html") && page.headers.contains("content-security-policy"));
    assert!(served.get("/page.js").headers.contains("javascript"));
    let metrics = served.get("/metrics").body;
    for part in [
        "apc_requests_total{path=\"/score\",status=\"400\"} 1",
        "apc_requests_running 0",
        "apc_tokens_total{kind=\"completion\"}",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    // Pages from elsewhere may not call, and no other name may be given to this machine.
    for headers in [
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: evil.example\r\nOrigin: http://evil.example\r\n",
    ] {
        let request = format!("GET /v1/models HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        assert_eq!(served.send(&request).status, 403, "{headers}");
    }
    let address = &served.address;
    let own = format!(
        "GET /v1/models HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(served.send(&own).status, 200);
    let preflight = "OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example\r\n\
                     Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n";
    assert!(
        !served
            .send(preflight)
            .headers
            .contains("access-control-allow-origin")
    );
}

#[test]
fn a_client_that_goes_away_stops_its_reply_and_others_are_answered() {
    let served = Served::start(&[], None);
    let body = json!({"model": "Alice", "stream": true, "max_tokens": 400, "temperature": 1.9,
        "messages": [{"role": "user", "content": "Tell me everything."}]});
    let body = body.to_string();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).unwrap();
    }
    assert_eq!(served.chat(json!({"max_tokens": 8})).status, 200);
    let start = Instant::now();
    let running = || {
        served
            .get("/metrics")
            .body
            .contains("apc_requests_running 0")
    };
    while !running() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "requests of nobody go on"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(unix)]
#[test]
fn a_server_that_is_stopped_brings_what_is_under_way_to_its_end() {
    let mut served = Served::start(&[], None);
    let body = json!({"model": "Alice", "stream": true, "messages": [{"role": "user", "content": "Who are you?"}]}).to_string();
    let mut stream = TcpStream::connect(&served.address).unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut some = [0; 16];
    stream.read_exact(&mut some).unwrap();
    let id = served.child.id().to_string();
    let stopped = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(stopped.success());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("[DONE]"), "{rest}");
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn several_characters_speak_from_one_base_each_with_its_own_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["Ines", "Tomas"];
    for name in [one, two] {
        let mut arguments = super::cli::short_run(folder.path());
        let page = super::cli::PAGE.replace("Mira", name);
        std::fs::write(folder.path().join("page.txt"), page).unwrap();
        let is_name = |argument: &String| argument == "Mira";
        let place = arguments.iter().position(is_name).unwrap();
        arguments[place] = name.to_string();
        let output = super::cli::run(&super::cli::strs(&arguments));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let served = Served::start_in(folder.path(), &[], None);
    let models = served.get("/v1/models").json();
    let ids: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["Ines", "Ines@base", "Tomas", "Tomas@base", "base"]);
    for name in [one, two] {
        // As the terminal's chat answers.
        let output = super::cli::run(&[
            "chat",
            "--character",
            name,
            "--output",
            folder.path().to_str().unwrap(),
            "--message",
            "Who are you?",
            "--temperature",
            "0",
            "--format",
            "json",
        ]);
        let expected: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        let body = json!({"model": name, "temperature": 0, "messages": [{"role": "user", "content": "Who are you?"}]});
        let json = served
            .post("/v1/chat/completions", &body.to_string())
            .json();
        assert_eq!(
            json["choices"][0]["message"]["content"],
            expected["response"]
        );
        assert_eq!(
            json["choices"][0]["apc"]["delta_apc"],
            expected["delta_apc"]
        );
    }
}
