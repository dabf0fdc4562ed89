//! A checkpoint's chat template, which turns a conversation into one text.

use std::path::PathBuf;
use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::files::Checkpoint;
use crate::text::{Message, jinja};
use crate::{Error, Result};

/// The Jinja template of a checkpoint, with the special tokens that it may name.
///
/// It is rendered as transformers does: blocks leave no blank lines, Python's string and list methods work,
/// `raise_exception` fails, `strftime_now` tells this machine's time, and `{% generation %}` changes nothing. A template
/// that goes on for too long or builds too much is refused.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    source: String,
    special_tokens: Map<String, Value>,
}

const NAME: &str = "chat_template";
pub(super) const CONFIG: &str = "tokenizer_config.json";

#[derive(Deserialize)]
#[serde(untagged)]
enum Source {
    One(String),
    Named(Vec<Named>),
}

/// The special tokens that `tokenizer_config.json` names: each a string, or an object with the string in `content`.
pub(super) fn special_tokens(config: Map<String, Value>) -> Map<String, Value> {
    let named = config
        .into_iter()
        .filter(|(name, _)| name.ends_with("_token"));
    let text = |(name, value): (String, Value)| {
        let text = value.get("content").unwrap_or(&value).as_str()?.to_string();
        Some((name, Value::from(text)))
    };
    named.filter_map(text).collect()
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl ChatTemplate {
    /// Reads the template from a checkpoint's `chat_template.jinja` or `tokenizer_config.json`, if it has one.
    pub fn load(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        const OWN: &str = "chat_template.jinja";
        let config_path = checkpoint.path(CONFIG);
        let config: Option<Map<String, Value>> = checkpoint.read_json_if_any(CONFIG)?;
        let mut config = config.unwrap_or_default();
        let (path, text) = if checkpoint.has(OWN) {
            (checkpoint.path(OWN), checkpoint.read_text(OWN)?)
        } else {
            let source = match config.remove(NAME) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => serde_json::from_value(value)
                    .map_err(|error| Error::invalid(&config_path, format!("{NAME}: {error}")))?,
            };
            let text = match source {
                Source::One(text) => Some(text),
                Source::Named(all) => all
                    .into_iter()
                    .find(|named| named.name == "default")
                    .map(|named| named.template),
            };
            let text = text.ok_or_else(|| {
                Error::invalid(
                    &config_path,
                    format!("{NAME} has no template named default"),
                )
            })?;
            (config_path, text)
        };
        let special_tokens = special_tokens(config);
        Self::new(path, text, special_tokens).map(Some)
    }

    pub(super) fn new(
        path: PathBuf,
        source: String,
        special_tokens: Map<String, Value>,
    ) -> Result<Self> {
        jinja::check(NAME, &source)
            .map_err(|error| Error::invalid(&path, format!("{NAME}: {error}")))?;
        Ok(Self {
            path,
            source,
            special_tokens,
        })
    }

    /// Renders a conversation; with `add_generation_prompt` it ends with the opening of the assistant's turn.
    ///
    /// # Errors
    ///
    /// Fails if the template refuses the conversation, such as two turns of one side in a row, or if it does not come to
    /// its end within its limits.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, add_generation_prompt, &Map::new())
    }

    /// The same with more variables for the template, such as `tools`.
    pub fn render_with(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        variables: &Map<String, Value>,
    ) -> Result<String> {
        let mut others = self.special_tokens.clone();
        for name in ["tools", "documents"] {
            others.insert(name.into(), Value::Null);
        }
        others.extend(variables.clone());
        let values = context! {
            messages => self.as_written(messages),
            add_generation_prompt,
            ..minijinja::Value::from_serialize(&others)
        };
        jinja::render(NAME, &self.source, values)
            .map_err(|error| Error::invalid(&self.path, format!("{NAME}: {error}")))
    }

    /// The messages as JSON; for a template that goes through the parts of a content with these parts, else with one text.
    fn as_written(&self, messages: &[Message]) -> Vec<Value> {
        static PARTS: LazyLock<Regex> = LazyLock::new(|| {
            let parts = r#"\bin\s+\w+(?:\.content\b|\[['"]content['"]\])"#;
            Regex::new(parts).expect("the pattern compiles")
        });
        let takes_parts = PARTS.is_match(&self.source).is_ok_and(|found| found);
        let written = |message: &Message| {
            let mut value = json!(message);
            if takes_parts && message.parts.len() > 1 {
                let part = |text: &String| json!({"type": "text", "text": text});
                value["content"] = message.parts.iter().map(part).collect();
            }
            value
        };
        messages.iter().map(written).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TEMPLATE: &str = "{{ bos_token }}\n{%- for message in messages %}\n    \
        {%- if message['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}\n    \
        {%- set who = 'model' if message.role == 'assistant' else message.role %}\n\
        {{ '<' + who.upper() + '>' + (message['content'] | trim) + '\\n' }}\n{%- endfor %}\n\
        {% if add_generation_prompt %}\n{{ '<MODEL>' }}\n{%- endif %}\n";

    fn message(role: &str, content: &str) -> Message {
        Message::new(role, content)
    }

    #[test]
    fn a_template_joins_the_parts_of_a_content_in_its_own_way() {
        let parts = r#"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}"#;
        let message: Message = serde_json::from_str(parts).unwrap();
        for (source, rendered) in [
            (
                "{% for m in messages %}{% for part in m['content'] %}<{{ part['text'] }}>{% endfor %}{% endfor %}",
                "<a><b>",
            ),
            ("{% for m in messages %}{{ m.content }}{% endfor %}", "a\nb"),
        ] {
            let template = ChatTemplate::new(PathBuf::new(), source.into(), Map::new()).unwrap();
            assert_eq!(
                template
                    .render(std::slice::from_ref(&message), false)
                    .unwrap(),
                rendered
            );
        }
    }

    fn folder(config: Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer_config.json");
        fs::write(path, config.to_string()).unwrap();
        folder
    }

    // The output of transformers' apply_chat_template for the same template and messages.
    #[test]
    fn a_conversation_is_rendered_as_transformers_does() {
        let folder = folder(serde_json::json!({
            "bos_token": {"content": "<bos>"},
            "chat_template": TEMPLATE,
        }));
        let template = ChatTemplate::load(&folder.path().into()).unwrap().unwrap();
        let messages = [
            message("user", " Hello "),
            message("assistant", "Good day."),
        ];
        assert_eq!(
            template.render(&messages, false).unwrap(),
            "<bos><USER>Hello\n<MODEL>Good day.\n"
        );
        assert_eq!(
            template.render(&messages[..1], true).unwrap(),
            "<bos><USER>Hello\n<MODEL>"
        );
    }

    #[test]
    fn what_the_template_refuses_is_told_with_its_file() {
        let folder = folder(serde_json::json!({
            "chat_template": [{"name": "tools", "template": ""}, {"name": "default", "template": TEMPLATE}],
        }));
        let template = ChatTemplate::load(&folder.path().into()).unwrap().unwrap();
        let error = template.render(&[message("system", "Be kind.")], false);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("tokenizer_config.json") && error.contains("no system turn"),
            "{error}"
        );
    }

    #[test]
    fn a_file_of_its_own_goes_before_the_config_and_a_folder_without_one_has_none() {
        let folder = folder(serde_json::json!({"chat_template": "old"}));
        fs::write(folder.path().join("chat_template.jinja"), "new").unwrap();
        let template = ChatTemplate::load(&folder.path().into()).unwrap().unwrap();
        assert_eq!(template.render(&[], false).unwrap(), "new");
        fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
        assert!(ChatTemplate::load(&folder.path().into()).unwrap().is_none());
    }
}
