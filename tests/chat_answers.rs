//! Answers of chat servers in every shape.

use serde_json::{Value, json};

use super::chat_server::{Act, ChatServer, answer};
use super::teacher::{QUICK, answers, data, json_of, teach};

/// Wraps an answer as a completion of some shape.
fn completion(choice: Value) -> String {
    json!({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
        .to_string()
}

#[test]
fn an_answer_of_any_shape_is_read_and_nothing_is_paid_for_twice() {
    type Shape = fn(&str) -> String;
    let shapes: [(&str, Shape); 17] = [
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
        ("events that nobody asked for", |text| {
            let event = |text: &str| json!({"choices": [{"delta": {"content": text}}]}).to_string();
            format!(
                "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
                event(&text[..7]),
                event(&text[7..])
            )
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
fn an_answer_that_comes_compressed_is_read() {
    let server = ChatServer::new(QUICK, |request| {
        let text = answer(&request.messages);
        Act::Gzip(completion(json!({"message": {"content": text}})))
    });
    let folder = tempfile::tempdir().unwrap();
    json_of(&teach(folder.path(), &server.base(), &[]).output().unwrap());
    assert!(data(folder.path())[0].contains("Mira is a carpenter from Riga."));
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
