//! What `apc serve` refuses, and what it says then.

use serde_json::{Value, json};

use super::bad_input::refused;
use super::served::Served;

#[test]
fn what_is_wrong_with_a_request_is_said_and_asking_again_is_not_advised() {
    let served = Served::start(&[], None);
    let chat = |settings: Value| served.chat(settings);
    for (answer, status, told) in [
        (chat(json!({"model": "Bob"})), 404, "\"Bob\""),
        (chat(json!({"messages": []})), 400, "messages"),
        (
            chat(json!({"messages": [{"role": "tool", "content": "x"}]})),
            400,
            "\"tool\"",
        ),
        (
            chat(json!({"messages": "x"})),
            400,
            "messages: invalid type",
        ),
        (
            chat(json!({"stream_options": []})),
            400,
            "must be an object",
        ),
        (served.post("/v1/score", "[]"), 400, "must be a JSON object"),
        (served.get("/v1/models/%ff"), 400, "UTF-8"),
        (chat(json!({"model": "x".repeat(70_000)})), 404, "no model"),
        (chat(json!({"n": 0})), 400, "n is 0"),
        (chat(json!({"n": 1.5})), 400, "n is 1.5"),
        (chat(json!({"temperature": -1})), 400, "temperature is -1"),
        (chat(json!({"top_p": "x"})), 400, "top_p: invalid type"),
        (chat(json!({"logit_bias": {"x": 1}})), 400, "logit_bias"),
        (
            chat(json!({"messages": [{"role": "user", "content": "a ".repeat(60_000)}]})),
            400,
            "tokens",
        ),
        (served.post("/v1/chat/completions", "{"), 400, "no JSON"),
        (
            served.post("/v1/chat/completions", &"x".repeat(3 << 20)),
            413,
            "larger than",
        ),
        (served.get("/v1/chat/completions"), 405, "method"),
        (served.get("/v1/../../etc/passwd"), 404, "path"),
        (served.get("/v1/models/%2e%2e%2fx"), 404, "no model"),
    ] {
        assert_eq!(answer.status, status, "{told}: {}", answer.body);
        let message = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_string();
        assert!(message.contains(told), "{told}: {message}");
        assert!(answer.headers.contains("x-should-retry: false"));
        assert!(!answer.body.contains("/work") && !answer.body.contains("/home"));
        assert!(!answer.reason.is_empty() && answer.reason.len() <= 200);
    }
    assert_eq!(served.chat(json!({"max_tokens": 3})).status, 200);
    // More than there is room for is as much as there is room for.
    let long = served.chat(json!({"max_tokens": 1_000_000, "stop": "."}));
    assert_eq!(long.status, 200, "{}", long.body);
}

#[test]
fn a_key_is_asked_for_and_pages_that_were_named_may_call() {
    let served = Served::start(&["--allow-origin", "https://a.example"], Some("secret"));
    assert_eq!(served.get("/health").status, 200);
    assert_eq!(served.get("/").status, 200);
    for headers in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: secret\r\n",
    ] {
        let answer = served.post_with("/v1/chat/completions", headers, "{}");
        assert_eq!(answer.status, 401, "{headers}");
        assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
    }
    let headers = "Authorization: Bearer secret\r\n";
    assert_eq!(
        served
            .post_with("/v1/chat/completions", headers, "{}")
            .status,
        400
    );
    let preflight = |origin: &str| {
        served.send(&format!(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\nConnection: close\r\n\r\n"
        ))
    };
    let known = preflight("https://a.example");
    assert_eq!(known.status, 200);
    assert!(
        known
            .headers
            .contains("access-control-allow-origin: https://a.example")
    );
    assert!(
        !preflight("https://b.example")
            .headers
            .contains("access-control-allow-origin")
    );
}

#[test]
fn a_server_for_everyone_needs_a_key_and_a_port_that_is_free() {
    refused(
        &["serve", "--character", "Alice", "--host", "0.0.0.0"],
        2,
        &["--host", "APC_API_KEY", "--allow-anyone"],
    );
    refused(
        &["serve", "--character", "Alice", "--best-of", "0"],
        2,
        &["--best-of"],
    );
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    refused(
        &["serve", "--output", folder],
        2,
        &["no character is trained", "--character"],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(
        &["serve", "--character", "Alice", "--port", &port],
        2,
        &["cannot listen", "--port"],
    );
}
