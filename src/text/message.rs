//! A turn of a conversation, as chat APIs and data sets write it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A turn of a conversation.
///
/// ```
/// use apc::text::Message;
///
/// let parts = r#"{"role": "user", "content": [{"type": "text", "text": "Who are you?"}]}"#;
/// let message: Message = serde_json::from_str(parts).unwrap();
/// assert_eq!(message.content, "Who are you?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Message {
    /// `user`, `assistant`, or another role that the template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
    /// What else the turn has, such as a name, for a template that uses it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
    /// The texts of a content that is written in parts, which a template may join in its own way.
    #[serde(skip_serializing)]
    pub(super) parts: Vec<String>,
}

impl Message {
    /// A turn with a text alone.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            more: Map::new(),
            parts: Vec::new(),
        }
    }
}

/// A message as it is written.
#[derive(Deserialize)]
struct Written {
    role: String,
    content: Option<Content>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "content must be a text or a list of parts")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a part must be a text or an object")]
enum Part {
    Text(String),
    Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
        text: Option<String>,
    },
}

impl TryFrom<Written> for Message {
    type Error = String;

    /// Joins the text parts of a content by line breaks; no content is an empty one.
    fn try_from(written: Written) -> Result<Self, String> {
        /// What a turn may have beside its text and no model here reads; a turn that has one of these is refused.
        const REFUSED: [&str; 4] = [
            "tool_calls",
            "function_call",
            "reasoning_content",
            "thinking",
        ];
        let is_set = |name: &&&str| written.rest.get(**name).is_some_and(is_something);
        if let Some(name) = REFUSED.iter().find(is_set) {
            return Err(format!(
                "a message has {name:?}, but the models here take text alone; leave it out"
            ));
        }
        let (content, parts) = match written.content {
            None => (String::new(), Vec::new()),
            Some(Content::Text(text)) => (text, Vec::new()),
            Some(Content::Parts(parts)) => {
                let texts: Result<Vec<String>, String> = parts.into_iter().map(text_of).collect();
                let texts = texts?;
                (texts.join("\n"), texts)
            }
        };
        let mut more = written.rest;
        more.retain(|_, value| !value.is_null());
        Ok(Self {
            role: written.role,
            content,
            more,
            parts,
        })
    }
}

fn text_of(part: Part) -> Result<String, String> {
    match part {
        Part::Text(text) => Ok(text),
        Part::Typed {
            text: Some(text),
            kind: None,
        } => Ok(text),
        Part::Typed {
            text: Some(text),
            kind: Some(kind),
        } if kind == "text" => Ok(text),
        Part::Typed {
            kind: Some(kind), ..
        } if kind != "text" => Err(format!(
            "a message has a part of type {kind:?}, but the models here take text alone; leave it out"
        )),
        Part::Typed { .. } => Err(
            "a message has a part that has no \"text\", but the models here take text alone; leave it out".into(),
        ),
    }
}

/// Whether a field is set to something: not to null, `false` or what is empty.
pub(crate) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Result<Message, String> {
        serde_json::from_str(message).map_err(|error| error.to_string())
    }

    #[test]
    fn a_content_may_be_a_text_parts_or_nothing() {
        for (written, content) in [
            (r#"{"role": "user", "content": "a"}"#, "a"),
            (r#"{"role": "user", "content": null, "name": "x"}"#, ""),
            (r#"{"role": "user", "tool_calls": null}"#, ""),
            (r#"{"role": "user", "content": []}"#, ""),
            (
                r#"{"role": "user", "content": [{"type": "text", "text": "a"}, "b", {"text": "c"}]}"#,
                "a\nb\nc",
            ),
        ] {
            assert_eq!(read(written).unwrap().content, content, "{written}");
        }
    }

    #[test]
    fn what_else_a_turn_has_is_kept_for_the_template() {
        let message =
            read(r#"{"role": "user", "content": "a", "name": "Sam", "id": null}"#).unwrap();
        assert_eq!(message.more.len(), 1);
        let written = serde_json::to_value(&message).unwrap();
        assert_eq!(
            written,
            serde_json::json!({"role": "user", "content": "a", "name": "Sam"})
        );
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        for (written, part) in [
            (
                r#"{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}"#,
                "image_url",
            ),
            (
                r#"{"role": "user", "content": [{"type": "text"}]}"#,
                "has no \"text\"",
            ),
            (
                r#"{"role": "user", "content": [{"image": "u"}]}"#,
                "has no \"text\"",
            ),
            (
                r#"{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}"#,
                "tool_calls",
            ),
            (
                r#"{"role": "assistant", "content": "a", "reasoning_content": "b"}"#,
                "reasoning_content",
            ),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
