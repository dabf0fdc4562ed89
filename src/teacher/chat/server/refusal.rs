//! A server's refusal, in its own words.

use serde_json::Value;

use super::answer::json;
use crate::teacher::chat::plain::quoted;

/// The longest quote of a server in a message.
const QUOTE: usize = 300;

/// What a server said when it did not answer.
#[derive(Clone, Debug)]
pub(super) struct ServerError {
    /// The HTTP status, or what it should have been.
    pub(super) status: u16,
    /// Its words on one line.
    pub(super) message: String,
    /// The parameter that it names, apart from its words.
    pub(super) param: String,
    /// Its name for what went wrong.
    code: String,
}

impl ServerError {
    /// Reads the body of a response that failed.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let first = |value: Value| match value {
            Value::Array(mut list) if !list.is_empty() => list.swap_remove(0),
            other => other,
        };
        if let Some(value) = json(body).map(first) {
            let inner = value.get("error").filter(|inner| !inner.is_null());
            return Self::of(status, inner.unwrap_or(&value));
        }
        let text = String::from_utf8_lossy(body);
        let line = text.lines().find(|line| !line.trim().is_empty());
        Self::of(status, &Value::from(line.unwrap_or("it says nothing")))
    }

    /// Reads an error object; one of a response with status 200 tells the status itself, or by its words.
    pub(super) fn of(status: u16, error: &Value) -> Self {
        let text = |name: &str| match &error[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let words = message_in(error).unwrap_or_else(|| error.to_string());
        let mut message = quoted(&words, QUOTE);
        for name in ["n_prompt_tokens", "n_ctx"] {
            // llama.cpp tells the sizes apart from its words.
            if let Some(size) = error[name].as_u64() {
                message += &format!(" ({name} {size})");
            }
        }
        let code = format!("{} {}", text("code"), text("type"));
        let code = quoted(&code, 80).to_lowercase();
        let status = if status == 200 {
            let named = [&error["code"], &error["status"], &error["status_code"]];
            let number = |value: &&Value| match value {
                Value::String(text) => text.parse().ok(),
                value => value.as_u64(),
            };
            let told = named.iter().find_map(number);
            let told = told.filter(|status| (400..600).contains(status));
            told.map_or_else(|| likely_status(&code, &message), |told| told as u16)
        } else {
            status
        };
        Self {
            status,
            message,
            param: quoted(&text("param"), 80),
            code,
        }
    }

    /// Whether money has run out, which waiting does not help.
    pub(super) fn is_quota(&self) -> bool {
        const SPENT: [&str; 4] = [
            "insufficient_quota",
            "insufficient_balance",
            "insufficient_credits",
            "billing",
        ];
        self.status == 402 || SPENT.iter().any(|spent| self.code.contains(spent))
    }

    /// Whether its status is that of a request in a wrong form, rather than of a key, a quota or a server that is busy.
    pub(super) fn may_teach(&self) -> bool {
        matches!(self.status, 400 | 404 | 413 | 422 | 500 | 501) && !self.is_quota()
    }

    /// Whether its status leaves it open that the request's form is the fault, and its words name no other.
    pub(super) fn may_be_the_form(&self) -> bool {
        const ELSEWHERE: [&str; 12] = [
            "api key",
            "api_key",
            "not found",
            "does not exist",
            "no such",
            "policy",
            "safety",
            "moderation",
            "flagged",
            "content_filter",
            "credit",
            "overloaded",
        ];
        let words = format!("{} {}", self.words(), self.code);
        matches!(self.status, 400 | 422 | 500 | 501)
            && !ELSEWHERE.iter().any(|part| words.contains(part))
    }

    /// Whether another error has the same words, numbers and names of requests apart.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let words = |error: &Self| {
            let words = error.words();
            let plain = words
                .split_whitespace()
                .filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
            plain.map(str::to_string).collect::<Vec<_>>()
        };
        self.status == other.status && words(self) == words(other)
    }

    /// Everything it names, in small letters.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.param, self.message).to_lowercase()
    }
}

/// The status of an error that came as success, by its words.
fn likely_status(code: &str, message: &str) -> u16 {
    let words = format!("{code} {}", message.to_lowercase()).replace(['_', '-'], " ");
    let has = |all: &[&str]| all.iter().any(|word| words.contains(word));
    if has(&["insufficient", "credits", "billing"]) {
        402
    } else if has(&["rate limit", "too many requests", "resource exhausted"]) {
        429
    } else if has(&["api key", "authenticat", "unauthorized"]) {
        401
    } else if has(&["not found", "no such model"]) {
        404
    } else if has(&[
        "invalid",
        "unsupported",
        "not support",
        "bad request",
        "must ",
    ]) {
        400
    } else {
        500
    }
}

/// The words of an error: a text, an object with a message, or a list of what is wrong with which field.
pub(super) fn message_in(error: &Value) -> Option<String> {
    match error {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().filter_map(message_in).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        Value::Object(fields) => {
            let said = [
                "message",
                "detail",
                "msg",
                "error",
                "errors",
                "error_description",
            ]
            .iter()
            .find_map(|name| message_in(fields.get(*name)?));
            let field = fields.get("loc").and_then(Value::as_array).map(|path| {
                let steps = path.iter().map(|step| match step {
                    Value::String(step) => step.clone(),
                    other => other.to_string(),
                });
                steps
                    .filter(|step| step != "body")
                    .collect::<Vec<_>>()
                    .join(".")
            });
            // A go-between says that its provider failed, and puts the provider's words aside.
            let raw = fields
                .get("metadata")
                .and_then(|more| message_in(more.get("raw")?));
            let parts: Vec<String> = [field, said, raw].into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        }
        _ => None,
    }
}
