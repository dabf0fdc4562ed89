//! The tasks of a teacher as a chat model is asked them: the form of each answer.

use serde_json::{Value, json};

use crate::persona::{Nli, Relevance};

/// A task: its prompt and its answer's form.
pub(super) struct Task {
    pub(super) name: &'static str,
    /// The fields of the answer, and the type of each.
    pub(super) fields: &'static [(&'static str, Kind)],
    /// With room for what a model thinks before it answers.
    pub(super) max_tokens: u64,
}

pub(super) enum Kind {
    Text,
    Texts,
    OneOf(&'static [&'static str]),
    SomeOf(&'static [&'static str]),
}

pub(super) const STATEMENTS: Task = Task {
    name: "statements",
    fields: &[("statements", Kind::Texts)],
    max_tokens: 8192,
};
pub(super) const QUERIES: Task = Task {
    name: "queries",
    fields: &[("questions", Kind::Texts)],
    max_tokens: 2048,
};
pub(super) const RELEVANT: Task = Task {
    name: "relevance",
    fields: &[("relevant", Kind::SomeOf(&Relevance::NAMES))],
    max_tokens: 2048,
};
pub(super) const REPLIES: Task = Task {
    name: "replies",
    fields: &[
        ("entailed", Kind::Text),
        ("neutral", Kind::Text),
        ("contradicted", Kind::Text),
    ],
    max_tokens: 2048,
};
pub(super) const FOLLOW_UP: Task = Task {
    name: "follow_up",
    fields: &[("reply", Kind::Text), ("question", Kind::Text)],
    max_tokens: 2048,
};
pub(super) const LABEL: Task = Task {
    name: "nli",
    fields: &[("label", Kind::OneOf(&Nli::NAMES))],
    max_tokens: 2048,
};

impl Task {
    pub(super) fn schema(&self) -> Value {
        let field = |(name, kind): &(&str, Kind)| {
            let schema = match kind {
                Kind::Text => json!({"type": "string"}),
                Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
                Kind::OneOf(names) => json!({"type": "string", "enum": names}),
                Kind::SomeOf(names) => {
                    json!({"type": "array", "items": {"type": "string", "enum": names}})
                }
            };
            ((*name).to_string(), schema)
        };
        let properties: serde_json::Map<String, Value> = self.fields.iter().map(field).collect();
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": names,
            "additionalProperties": false,
        })
    }

    /// The name of the only field.
    pub(super) fn field(&self) -> &'static str {
        self.fields[0].0
    }
}
