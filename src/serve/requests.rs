//! What clients send, as OpenAI's API writes it; the fields `apc` are ours.

use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use super::settings::{MOST_CHOICES, Settings};
use crate::pattern::pattern;
use crate::text::Message;

const MOST_LOGPROBS: usize = 20;

pattern!(
    STRUCT,
    r"(?:internally tagged |tuple |newtype )?(?:struct|enum) \w+"
);

/// `POST /v1/chat/completions`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) messages: Vec<Message>,
    logprobs: Option<bool>,
    top_logprobs: Option<f64>,
    response_format: Option<Value>,
    tool_choice: Option<Value>,
    #[serde(skip)]
    pub(super) settings: Settings,
}

impl ChatRequest {
    /// Refuses what would change the answer and is not known here: JSON of a given form, and tools that must be called. Tools that
    /// may be called are left alone.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let kind = |value: &Option<Value>| {
            let value = value.as_ref()?;
            let kind = value.get("type").unwrap_or(value);
            kind.as_str().map(str::to_string)
        };
        if kind(&self.response_format).is_some_and(|kind| kind != "text") {
            let to_do = "characters speak; leave it out, or give {\"type\": \"text\"}";
            return Err(ApiError::unknown("response_format", to_do));
        }
        if kind(&self.tool_choice).is_some_and(|kind| kind != "auto" && kind != "none") {
            let to_do = "characters call no tools; leave it out, or give \"auto\"";
            return Err(ApiError::unknown("tool_choice", to_do));
        }
        Ok(())
    }

    /// How many of the likeliest tokens to tell of, if any.
    pub(super) fn top_logprobs(&self) -> Result<Option<usize>, ApiError> {
        let top = Settings::count("top_logprobs", self.top_logprobs, 0, MOST_LOGPROBS)?;
        Ok(self.logprobs.unwrap_or(false).then(|| top.unwrap_or(0)))
    }
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "response must be a text or a list of texts")]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

/// A text, or the ids of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CompletionPrompt {
    Text(String),
    Ids(Vec<i32>),
}

/// One prompt or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "prompt must be a text, token ids, or a list of either"
)]
enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<i32>),
    Several(Vec<Vec<i32>>),
}

impl Texts {
    pub(super) fn all(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// `POST /v1/completions`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CompletionRequest {
    prompt: Prompts,
    pub(super) echo: Option<bool>,
    logprobs: Option<f64>,
    best_of: Option<f64>,
    suffix: Option<String>,
    #[serde(skip)]
    pub(super) settings: Settings,
}

impl CompletionRequest {
    /// The prompts, in their order.
    pub(super) fn prompts(&self) -> Vec<CompletionPrompt> {
        match self.prompt.clone() {
            Prompts::Text(text) => vec![CompletionPrompt::Text(text)],
            Prompts::Texts(texts) => texts.into_iter().map(CompletionPrompt::Text).collect(),
            Prompts::Ids(ids) => vec![CompletionPrompt::Ids(ids)],
            Prompts::Several(all) => all.into_iter().map(CompletionPrompt::Ids).collect(),
        }
    }

    /// Refuses what would change the answer and is not known here.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let [n, _] = self.settings.choices(1)?;
        let best_of = Settings::count("best_of", self.best_of, 1, MOST_CHOICES)?;
        if best_of.is_some_and(|best_of| best_of > n) {
            return Err(ApiError::unknown(
                "best_of",
                "leave it out, or ask for n choices",
            ));
        }
        if self
            .suffix
            .as_ref()
            .is_some_and(|suffix| !suffix.is_empty())
        {
            return Err(ApiError::unknown("suffix", "leave it out"));
        }
        Ok(())
    }

    pub(super) fn top_logprobs(&self) -> Result<Option<usize>, ApiError> {
        Settings::count("logprobs", self.logprobs, 0, MOST_LOGPROBS)
    }
}

/// `POST /v1/score`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScoreRequest {
    pub(super) model: Option<String>,
    /// What was asked, or the conversation before the reply.
    pub(super) query: Option<String>,
    #[serde(default)]
    pub(super) messages: Vec<Message>,
    pub(super) response: Texts,
}

/// Reads a chat. What a model thought in earlier turns is left out, as clients send it back.
pub(super) fn parse_chat(bytes: &[u8]) -> Result<ChatRequest, ApiError> {
    const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
    let mut value = json_of(bytes)?;
    let messages = value.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        message.retain(|key, _| !THOUGHTS.contains(&key.as_str()));
    }
    let settings = read(value.clone())?;
    let request: ChatRequest = read(value)?;
    Ok(ChatRequest {
        settings,
        ..request
    })
}

/// Reads a text to be gone on with.
pub(super) fn parse_completion(bytes: &[u8]) -> Result<CompletionRequest, ApiError> {
    let value = json_of(bytes)?;
    let settings = read(value.clone())?;
    let request: CompletionRequest = read(value)?;
    Ok(CompletionRequest {
        settings,
        ..request
    })
}

/// Reads a body; what is wrong with it is told with its place.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, ApiError> {
    read(json_of(bytes)?)
}

/// The JSON of a body, which is an object. Serde would take lists for objects, too, so those within it are looked at here.
fn json_of(bytes: &[u8]) -> Result<Value, ApiError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(None, format!("the body is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(ApiError::invalid(None, "the body must be a JSON object"));
    }
    let mut objects = vec![];
    for field in ["apc", "stream_options"] {
        objects.push((field.to_string(), value.get(field)));
    }
    let messages = value.get("messages").and_then(Value::as_array);
    for (idx, message) in messages.into_iter().flatten().enumerate() {
        objects.push((format!("messages[{idx}]"), Some(message)));
    }
    let list = objects
        .into_iter()
        .find(|(_, value)| value.is_some_and(Value::is_array));
    match list {
        Some((field, _)) => {
            let message = format!("{field} is a list, but must be an object");
            Err(ApiError::invalid_at(field, message))
        }
        None => Ok(value),
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let message = in_words(&error.into_inner().to_string());
        match field.as_str() {
            "." => ApiError::invalid(None, format!("the body cannot be used: {message}")),
            _ => ApiError::invalid_at(field.clone(), format!("{field}: {message}")),
        }
    })
}

/// What serde says, with the words of JSON in place of Rust's.
fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 8] = [
        ("f64", "a number"),
        ("i64", "a whole number"),
        ("i32", "a whole number"),
        ("a sequence", "a list"),
        ("sequence", "list"),
        ("a map", "an object"),
        ("map", "object"),
        ("unit value", "null"),
    ];
    let message = STRUCT.replace_all(message, "an object");
    let mut told = message.into_owned();
    for (rust, word) in WORDS {
        let pattern = format!(" {rust}");
        told = told.replace(&pattern, &format!(" {word}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(body: Value, is_chat: bool) -> String {
        let bytes = body.to_string().into_bytes();
        let error = match is_chat {
            true => parse_chat(&bytes).and_then(|request| request.check()).err(),
            false => parse_completion(&bytes)
                .and_then(|request| request.check())
                .err(),
        };
        error.map_or_else(String::new, |error| error.to_event())
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_in_words_of_json() {
        let messages = json!([{"role": "user", "content": "Hi."}]);
        for (field, value, wanted) in [
            (
                "n",
                json!("two"),
                "n: invalid type: string \\\"two\\\", expected a number",
            ),
            (
                "messages",
                json!({}),
                "invalid type: object, expected a list",
            ),
            ("apc", json!(3), "expected an object"),
            ("apc", json!([1]), "apc is a list"),
            ("messages", json!([["user", "Hi"]]), "messages[0] is a list"),
            (
                "messages",
                json!([{"role": "user", "content": 3}]),
                "messages[0].content: content must be a text",
            ),
            ("stop", json!(5), "stop must be a text or a list of texts"),
            ("stream_options", json!("x"), "expected an object"),
            (
                "response_format",
                json!({"type": "json_object"}),
                "response_format is not known",
            ),
            ("tool_choice", json!("required"), "tool_choice is not known"),
            (
                "tool_choice",
                json!({"type": "function"}),
                "tool_choice is not known",
            ),
            ("response_format", json!({"type": "text"}), ""),
            ("tool_choice", json!("auto"), ""),
        ] {
            let mut body = json!({"messages": messages.clone()});
            body[field] = value;
            let told = told(body, true);
            assert!(
                told.contains(wanted) && told.is_empty() == wanted.is_empty(),
                "{field}: {told}"
            );
            assert!(!told.contains("struct") && !told.contains("enum"), "{told}");
        }
        for (field, value, wanted) in [
            (
                "prompt",
                json!({}),
                "prompt must be a text, token ids, or a list of either",
            ),
            ("best_of", json!(4), "best_of is not known"),
            ("suffix", json!("end"), "suffix is not known"),
            ("best_of", json!(1), ""),
        ] {
            let mut body = json!({"prompt": "Hi"});
            body[field] = value;
            let told = told(body, false);
            assert!(
                told.contains(wanted) && told.is_empty() == wanted.is_empty(),
                "{field}: {told}"
            );
        }
    }

    #[test]
    fn a_prompt_is_a_text_or_ids_and_may_come_with_others() {
        let read = |prompt: Value| {
            let body = json!({"prompt": prompt}).to_string();
            parse::<CompletionRequest>(body.as_bytes())
                .unwrap()
                .prompts()
        };
        let text = |text: &str| CompletionPrompt::Text(text.into());
        assert_eq!(read(json!("a")), [text("a")]);
        assert_eq!(read(json!(["a", "b"])), [text("a"), text("b")]);
        assert_eq!(read(json!([3, 4])), [CompletionPrompt::Ids(vec![3, 4])]);
        let two = [
            CompletionPrompt::Ids(vec![3]),
            CompletionPrompt::Ids(vec![4]),
        ];
        assert_eq!(read(json!([[3], [4]])), two);
    }
}
