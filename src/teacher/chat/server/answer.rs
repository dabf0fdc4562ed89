//! A server's answer, in whatever shape it comes.

use serde_json::Value;

use super::refusal::{ServerError, message_in};
use crate::teacher::chat::model::TokenLogprobs;
use crate::teacher::chat::parse::json5_of;
use crate::teacher::chat::plain::plain;
use crate::text::is_something;

/// What the body of a successful response holds.
#[derive(Debug)]
pub(super) enum Body {
    Answer(Said),
    /// An error, though the status says success.
    Error(ServerError),
    /// Nothing that a chat API sends.
    Other,
}

/// A reply with what the server tells of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) reply: String,
    pub(super) is_cut: bool,
    pub(super) logprobs: Vec<TokenLogprobs>,
    /// Absent if the server does not count, or counts what cannot be.
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
}

/// Reads the body of a successful response.
pub(super) fn read(body: &[u8]) -> Body {
    let Some(value) = json(body).or_else(|| streamed(body)) else {
        return Body::Other;
    };
    let value = match value {
        Value::Array(mut list) if !list.is_empty() => list.swap_remove(0),
        other => other,
    };
    let choices = value.get("choices").and_then(Value::as_array);
    let choice = choices.and_then(|choices| choices.first());
    // Another API has no choices, but the message in their place.
    let choice = choice.or_else(|| value["message"].is_object().then_some(&value));
    let error = [Some(&value), choice]
        .into_iter()
        .flatten()
        .find_map(|holder| holder.get("error").filter(|error| is_something(error)));
    if let Some(error) = error {
        return Body::Error(ServerError::of(200, error));
    }
    let Some(choice) = choice else {
        if choices.is_some() {
            return Body::Answer(said(&Value::Null, &value));
        }
        return match message_in(&value) {
            Some(_) => Body::Error(ServerError::of(200, &value)),
            None => Body::Other,
        };
    };
    let said = said(choice, &value);
    if choice["finish_reason"] == "error" {
        let words = if said.reply.is_empty() {
            "the model failed"
        } else {
            &said.reply
        };
        return Body::Error(ServerError::of(200, &Value::from(words)));
    }
    Body::Answer(said)
}

/// Joins the events of a server that streams without being asked to: one message with all their texts.
fn streamed(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let events = text.lines().filter_map(|line| {
        let data = line.strip_prefix("data:").unwrap_or(line);
        json(data.trim().as_bytes()).filter(Value::is_object)
    });
    let (mut whole, mut content) = (Value::Null, String::new());
    for mut event in events {
        let choice = match event["choices"].get_mut(0) {
            Some(choice) => choice.take(),
            // An error, or the tokens that were used, which come last.
            None => event.clone(),
        };
        content.push_str(message_of(&choice)["content"].as_str().unwrap_or_default());
        for name in ["finish_reason", "error"] {
            if is_something(&choice[name]) {
                whole[name] = choice[name].clone();
            }
        }
        if event["usage"].is_object() {
            whole["usage"] = event["usage"].take();
        }
    }
    if !content.is_empty() {
        whole["message"] = serde_json::json!({ "content": content });
    }
    whole.is_object().then_some(whole)
}

/// Reads JSON; that of Python's writer may have `NaN` and `Infinity`, which come out as null.
pub(super) fn json(body: &[u8]) -> Option<Value> {
    /// Brackets that are nested deeper are no answer.
    const MOST_DEPTH: usize = 64;
    serde_json::from_slice(body).ok().or_else(|| {
        let text = std::str::from_utf8(body)
            .ok()?
            .trim_start_matches('\u{feff}');
        let opens = text.trim_start().starts_with(['{', '[']);
        opens.then(|| json5_of(text, MOST_DEPTH)).flatten()
    })
}

/// The message of a choice, or of its event in a stream; a choice without one may hold the text itself.
fn message_of(choice: &Value) -> &Value {
    let messages = ["message", "delta"].map(|name| &choice[name]);
    let message = messages.into_iter().find(|message| message.is_object());
    message.unwrap_or(choice)
}

fn said(choice: &Value, whole: &Value) -> Said {
    let reply = plain(&reply(message_of(choice)));
    let finish = choice["finish_reason"].as_str().unwrap_or_default();
    let is_cut = ["length", "max_tokens", "model_length", "max_output_tokens"]
        .iter()
        .any(|name| finish.eq_ignore_ascii_case(name));
    let count = |name: &str| count(&whole["usage"][name]);
    Said {
        logprobs: of_reply(tokens(&choice["logprobs"]), &reply),
        is_cut,
        prompt_tokens: count("prompt_tokens").or_else(|| count("input_tokens")),
        completion_tokens: count("completion_tokens").or_else(|| count("output_tokens")),
        reply,
    }
}

/// A number of tokens, unless no request can have so many.
fn count(value: &Value) -> Option<u64> {
    const MOST: f64 = 1e7;
    let count = value
        .as_f64()
        .filter(|count| (0.0..=MOST).contains(count))?;
    Some(count as u64)
}

/// The text of a message: its content, else where servers put it when that is empty.
fn reply(message: &Value) -> String {
    let thoughts = [
        "reasoning_content",
        "reasoning",
        "thinking",
        "reasoning_details",
    ]
    .into_iter()
    .map(|name| text(&message[name], true))
    .find(|text| !text.trim().is_empty())
    .unwrap_or_default();
    let content = text(&message["content"], false);
    if !content.trim().is_empty() {
        // Some servers take the beginning of a JSON answer for a thought.
        let split = closes_more_than_it_opens(&content);
        return if split { thoughts + &content } else { content };
    }
    let call = [
        &message["tool_calls"][0]["function"],
        &message["function_call"],
    ]
    .into_iter()
    .map(|call| text(&call["arguments"], false));
    let others = ["text", "parsed", "refusal"]
        .into_iter()
        .map(|name| text(&message[name], false));
    call.chain(others)
        .chain([thoughts, text(&message["content"], true)])
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default()
}

/// The text of a content: a text, a list of parts, or the JSON object that was asked for as an object; parts that are
/// thoughts count if `thoughts` says so.
fn text(content: &Value, thoughts: bool) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| text(part, thoughts)).collect(),
        Value::Object(part) => {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
            let is_thought = kind.contains("think") || kind.contains("reason");
            if is_thought && !thoughts {
                return String::new();
            }
            let inner = [
                "text",
                "thinking",
                "reasoning",
                "summary",
                "value",
                "content",
            ]
            .iter()
            .find_map(|name| part.get(*name));
            match inner {
                Some(inner) => text(inner, thoughts),
                None if kind.is_empty() && !part.is_empty() => content.to_string(),
                None => String::new(),
            }
        }
        Value::Number(_) | Value::Bool(_) => content.to_string(),
        Value::Null => String::new(),
    }
}

fn closes_more_than_it_opens(text: &str) -> bool {
    let mut open = 0_i64;
    text.chars().any(|c| {
        open += match c {
            '{' | '[' => 1,
            '}' | ']' => -1,
            _ => 0,
        };
        open < 0
    })
}

/// The tokens with their likeliest alternatives: as lists of objects, or as the older lists side by side.
fn tokens(logprobs: &Value) -> Vec<TokenLogprobs> {
    if let Some(list) = logprobs["content"].as_array() {
        let entry = |entry: &Value| Some((name(entry)?, probability(&entry["logprob"])));
        let token = |value: &Value| {
            let (token, own) = entry(value)?;
            let others = value["top_logprobs"].as_array();
            let others = others.into_iter().flatten().filter_map(entry);
            Some(likely(token, own, others))
        };
        return list.iter().filter_map(token).collect();
    }
    let Some(names) = logprobs["tokens"].as_array() else {
        return Vec::new();
    };
    let token = |(at, value): (usize, &Value)| {
        let own = probability(&logprobs["token_logprobs"][at]);
        let others = logprobs["top_logprobs"][at].as_object();
        let others = others.into_iter().flatten();
        let others = others.map(|(token, value)| (spaced(token), probability(value)));
        Some(likely(spaced(value.as_str()?), own, others))
    };
    names.iter().enumerate().filter_map(token).collect()
}

fn name(entry: &Value) -> Option<String> {
    entry["token"].as_str().map(spaced)
}

/// A token with the space or line break that byte-level tokenizers write as a letter.
fn spaced(token: &str) -> String {
    match token.strip_prefix(['Ġ', '▁']) {
        Some(rest) => format!(" {rest}"),
        None if token.chars().all(|c| c == 'Ċ') => token.replace('Ċ', "\n"),
        None => token.to_string(),
    }
}

/// A log-probability, unless it is null or infinite; those of rounding above 0 are 0.
fn probability(value: &Value) -> Option<f64> {
    let value = value.as_f64().filter(|value| value.is_finite());
    value.map(|value| value.min(0.0))
}

fn likely(
    token: String,
    own: Option<f64>,
    others: impl Iterator<Item = (String, Option<f64>)>,
) -> TokenLogprobs {
    let known = |(token, logprob): (String, Option<f64>)| Some((token, logprob?));
    let own = known((token.clone(), own));
    let others = others.filter(|(other, _)| *other != token || own.is_none());
    TokenLogprobs {
        top: own
            .clone()
            .into_iter()
            .chain(others.filter_map(known))
            .collect(),
        token,
    }
}

/// The tokens of the reply: where those of thoughts stand before them, without these; none if they are not the reply's.
fn of_reply(tokens: Vec<TokenLogprobs>, reply: &str) -> Vec<TokenLogprobs> {
    let said: String = tokens.iter().map(|token| token.token.as_str()).collect();
    let reply = reply.trim();
    let Some(begin) = said.rfind(reply) else {
        // Tokens may spell parts of characters, which do not join to the reply's text: if they are about as long as the reply,
        // they are taken to be its tokens.
        let is_near = said.len().abs_diff(reply.len()) * 4 <= reply.len();
        return if is_near { tokens } else { Vec::new() };
    };
    let mut end = 0;
    let is_before = |token: &&TokenLogprobs| {
        end += token.token.len();
        end <= begin
    };
    let n_before = tokens.iter().take_while(is_before).count();
    tokens.into_iter().skip(n_before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said_of(body: &str) -> Said {
        match read(body.as_bytes()) {
            Body::Answer(said) => said,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn log_probabilities_are_read_where_they_are_numbers_and_where_they_are_the_replys() {
        let entry = |token: &str, logprob: Value| json!({"token": token, "logprob": logprob});
        let content = json!([
            entry("no", json!(-0.1)), entry("</think>", json!(-0.1)),
            {"token": "Ġyes", "logprob": null, "top_logprobs": [
                entry("Ġyes", json!(-0.2)), entry("Ġno", json!(null)), entry("Ġmaybe", json!(0.5))]},
        ]);
        let choice = json!({"message": {"content": "yes", "reasoning_content": "no"}, "logprobs": {"content": content}});
        let said = said_of(&json!({"choices": [choice]}).to_string());
        let yes = TokenLogprobs {
            token: " yes".into(),
            top: vec![(" yes".into(), -0.2), (" maybe".into(), 0.0)],
        };
        assert_eq!(said.logprobs, [yes], "not those of the thoughts");

        let infinite = r#"{"choices": [{"message": {"content": "yes"}, "logprobs": {"content":
            [{"token": "yes", "logprob": -Infinity, "top_logprobs": [{"token": "no", "logprob": NaN}]}]}}]}"#;
        let said = said_of(infinite);
        assert_eq!((said.logprobs.len(), said.logprobs[0].top.len()), (1, 0));

        let lists = json!({"tokens": ["yes"], "token_logprobs": [-0.2], "top_logprobs": [{"yes": -0.2, "no": -2.0}]});
        let said = said_of(&json!({"choices": [{"text": "yes", "logprobs": lists}]}).to_string());
        assert_eq!(said.logprobs[0].top.len(), 2);

        let others = json!({"content": [entry("thoughts that are not told at all", json!(-0.1))]});
        let choice = json!({"message": {"content": "yes"}, "logprobs": others});
        let said = said_of(&json!({"choices": [choice]}).to_string());
        assert!(said.logprobs.is_empty());
    }

    #[test]
    fn events_that_nobody_asked_for_are_one_answer() {
        let body = "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\n\n\
            data: {\"choices\": [{\"delta\": {\"content\": \"I sing\"}}]}\n\n\
            data: {\"choices\": [{\"delta\": {\"content\": \".\"}, \"finish_reason\": \"length\"}]}\n\n\
            data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}}\n\ndata: [DONE]\n\n";
        let said = said_of(body);
        assert_eq!((said.reply.as_str(), said.is_cut), ("I sing.", true));
        assert_eq!(
            (said.prompt_tokens, said.completion_tokens),
            (Some(7), Some(3))
        );
        let lines = "{\"message\": {\"content\": \"I \"}, \"done\": false}\n{\"message\": {\"content\": \"sing.\"}, \"done\": true}\n";
        assert_eq!(said_of(lines).reply, "I sing.");
        let error = "data: {\"error\": {\"message\": \"no room\"}}\n\n";
        assert!(matches!(read(error.as_bytes()), Body::Error(_)));
    }

    #[test]
    fn deep_and_broken_bodies_are_no_answers() {
        for body in [
            "[".repeat(1 << 20),
            "{\"a\":".repeat(1 << 18),
            "{".into(),
            "null".into(),
            "[]".into(),
        ] {
            assert!(matches!(read(body.as_bytes()), Body::Other));
        }
    }
}
