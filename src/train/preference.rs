//! Preference pairs as TRL takes them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::text::{ChatTemplate, Message, Tokenizer, is_something};
use crate::train::{DpoExample, DpoPair};
use crate::{Error, Result};

/// A prompt with a better and a worse reply, in TRL's standard or conversational format.
///
/// A row without a prompt has it at the beginning of both replies, as TRL's implicit prompts are: what both begin with.
///
/// ```
/// use apc::train::{Preference, Turns};
///
/// let row = r#"{"chosen": "Q: Who? A: Mira.", "rejected": "Q: Who? A: Odile."}"#;
/// let pair: Preference = serde_json::from_str(row).unwrap();
/// assert_eq!(pair.prompt, Turns::Text("Q: Who? A:".into()));
/// assert_eq!(pair.chosen, Turns::Text(" Mira.".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row")]
pub struct Preference {
    /// The prompt: a text with all turn markers that it needs, or messages.
    pub prompt: Turns,
    /// The better reply.
    pub chosen: Turns,
    /// The worse reply.
    pub rejected: Turns,
    /// The tools that a conversation's template is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// More variables for the template.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
}

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Turns {
    /// As the model reads it.
    Text(String),
    /// As the checkpoint's chat template reads it.
    Messages(Vec<Message>),
}

impl<'de> Deserialize<'de> for Turns {
    /// Tells what is wrong with a message, which an untagged enum would not.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(text)),
            messages => serde_json::from_value(messages)
                .map(Self::Messages)
                .map_err(serde::de::Error::custom),
        }
    }
}

/// A pair as it is written.
#[derive(Deserialize)]
struct Row {
    prompt: Option<Turns>,
    chosen: Turns,
    rejected: Turns,
    tools: Option<Value>,
    chat_template_kwargs: Option<Map<String, Value>>,
    images: Option<Value>,
}

impl TryFrom<Row> for Preference {
    type Error = String;

    fn try_from(row: Row) -> std::result::Result<Self, String> {
        if row.images.as_ref().is_some_and(is_something) {
            return Err(
                "a pair has images, but the models here take text alone; leave such rows out"
                    .into(),
            );
        }
        let tools = match row.tools {
            // TRL's data sets may hold them as text, as a column has one type.
            Some(Value::String(text)) => Some(
                serde_json::from_str(&text)
                    .map_err(|error| format!("the tools of a pair are no JSON: {error}"))?,
            ),
            tools => tools,
        };
        let (prompt, chosen, rejected) = match (row.prompt, row.chosen, row.rejected) {
            (None, chosen, rejected) => implicit_prompt(chosen, rejected)?,
            (Some(Turns::Text(text)), chosen @ Turns::Messages(_), rejected) => {
                let (prompt, chosen, rejected) = implicit_prompt(chosen, rejected)?;
                (asked_in_text(prompt, text), chosen, rejected)
            }
            (Some(prompt), chosen, rejected) => (prompt, chosen, rejected),
        };
        Ok(Self {
            prompt,
            chosen,
            rejected,
            tools,
            chat_template_kwargs: row.chat_template_kwargs.unwrap_or_default(),
        })
    }
}

/// Returns the prompt of a row that has conversations as replies but a text as the prompt. As in TRL it is the turns that both
/// replies begin with, and the text is not used; only where they begin with different turns the text is the user's turn.
fn asked_in_text(prompt: Turns, text: String) -> Turns {
    if prompt != Turns::Messages(Vec::new()) {
        return prompt;
    }
    Turns::Messages(vec![Message::new("user", text)])
}

/// Takes the prompt off the beginning of both replies, as TRL's `extract_prompt`: a space before the first difference
/// stays with the replies, and where one is the beginning of the other, so does the last that they share.
fn implicit_prompt(
    chosen: Turns,
    rejected: Turns,
) -> std::result::Result<(Turns, Turns, Turns), String> {
    match (chosen, rejected) {
        (Turns::Text(chosen), Turns::Text(rejected)) => {
            let pairs = chosen.chars().zip(rejected.chars());
            let shared: usize = pairs
                .take_while(|(a, b)| a == b)
                .map(|(a, _)| a.len_utf8())
                .sum();
            let mut prompt = &chosen[..shared];
            if shared == chosen.len().min(rejected.len()) {
                let last = prompt.chars().next_back().map_or(0, char::len_utf8);
                prompt = &prompt[..shared - last];
            } else {
                prompt = prompt.strip_suffix(' ').unwrap_or(prompt);
            }
            let text = |text: &str| Turns::Text(text.to_string());
            Ok((
                text(prompt),
                text(&chosen[prompt.len()..]),
                text(&rejected[prompt.len()..]),
            ))
        }
        (Turns::Messages(mut chosen), Turns::Messages(mut rejected)) => {
            let pairs = chosen.iter().zip(&rejected);
            let shared = pairs.take_while(|(a, b)| a == b).count();
            let shared = match shared == chosen.len().min(rejected.len()) {
                true => shared.saturating_sub(1),
                false => shared,
            };
            let rejected = rejected.split_off(shared);
            let reply = chosen.split_off(shared);
            Ok((
                Turns::Messages(chosen),
                Turns::Messages(reply),
                Turns::Messages(rejected),
            ))
        }
        _ => Err("chosen and rejected of a pair must be two texts or two lists of messages".into()),
    }
}

/// Tokenizes pairs.
#[derive(Debug)]
pub struct PreferenceEncoder {
    /// The checkpoint's tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template, if it has one.
    pub template: Option<ChatTemplate>,
    /// The token that ends a reply that is no conversation.
    pub eos: String,
    /// Tokens of prompt and reply together, at most.
    pub max_length: usize,
}

impl PreferenceEncoder {
    /// Tokenizes a pair as `DPOTrainer` does.
    ///
    /// Prompt and reply are tokenized as one text. In the standard format it gets the tokenizer's special tokens, and `eos`
    /// after the reply unless the reply ends with it already; a conversation is rendered by its template. The prompt is the
    /// common prefix of both texts and the tokenized prompt. Replies are cut at `max_length` tokens, prompt included.
    /// Returns `None` if the prompt has no token or leaves no room for a reply.
    ///
    /// # Errors
    ///
    /// Fails if a conversation has no template, is refused by it, or has a part that is a plain text; and if the replies are
    /// equal or one adds nothing to the prompt.
    pub fn encode(&self, pair: &Preference) -> Result<Option<DpoExample>> {
        let [mut prompt, chosen, rejected] = match (&pair.prompt, &pair.chosen, &pair.rejected) {
            (Turns::Text(prompt), Turns::Text(chosen), Turns::Text(rejected)) => {
                let replied = |reply: &String| {
                    let end = if reply.ends_with(&self.eos) {
                        ""
                    } else {
                        &self.eos
                    };
                    self.tokenizer.encode(&format!("{prompt}{reply}{end}"))
                };
                [
                    self.tokenizer.encode(prompt)?,
                    replied(chosen)?,
                    replied(rejected)?,
                ]
            }
            (Turns::Messages(prompt), Turns::Messages(chosen), Turns::Messages(rejected)) => {
                let template = self.template.as_ref().ok_or_else(|| {
                    Error::Usage(
                        "the pairs are conversations, but the model has no chat template; write prompt, chosen and \
                         rejected as texts"
                            .into(),
                    )
                })?;
                let mut variables = pair.chat_template_kwargs.clone();
                if let Some(tools) = &pair.tools {
                    variables.insert("tools".into(), tools.clone());
                }
                let encode = |turns: &[Message], opens_reply| {
                    let text = template.render_with(turns, opens_reply, &variables)?;
                    self.tokenizer.encode_bare(&text)
                };
                let replied = |reply: &[Message]| encode(&[prompt, reply].concat(), false);
                let prompt = encode(prompt, true)?;
                [prompt, replied(chosen)?, replied(rejected)?]
            }
            _ => {
                return Err(Error::Usage(
                    "prompt, chosen and rejected of a pair must be three texts or three lists of messages".into(),
                ));
            }
        };
        if chosen == rejected {
            return Err(Error::Usage(
                "chosen and rejected of a pair are the same; remove the pair".into(),
            ));
        }
        let common = |ids: &Vec<i32>| {
            let pairs = prompt.iter().zip(ids);
            pairs.take_while(|(a, b)| a == b).count()
        };
        let start = common(&chosen).min(common(&rejected));
        prompt.truncate(start);
        if start == 0 || start >= self.max_length {
            return Ok(None);
        }
        let [chosen, rejected] = [chosen, rejected].map(|mut ids| {
            ids.truncate(self.max_length);
            ids.split_off(start)
        });
        if chosen.is_empty() || rejected.is_empty() {
            return Err(Error::Usage(
                "chosen or rejected of a pair adds nothing to the prompt; give both a reply".into(),
            ));
        }
        Ok(Some(DpoExample {
            prompt,
            pairs: vec![DpoPair {
                chosen,
                rejected,
                reference: [0.0; 2],
            }],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use std::path::Path;

    #[test]
    fn a_text_may_be_the_prompt_of_conversations() {
        let read = |row: &str| serde_json::from_str::<Preference>(row).unwrap();
        let turns = |role: &str, content: &str| Turns::Messages(vec![Message::new(role, content)]);
        for row in [
            r#"{"prompt": "Who?",
                "chosen": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Mira."}],
                "rejected": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]}"#,
            r#"{"prompt": "Who?", "chosen": [{"role": "assistant", "content": "Mira."}],
                "rejected": [{"role": "assistant", "content": "Me."}]}"#,
        ] {
            let pair = read(row);
            let parts = [pair.prompt, pair.chosen, pair.rejected];
            let expected = [
                ("user", "Who?"),
                ("assistant", "Mira."),
                ("assistant", "Me."),
            ];
            assert_eq!(parts, expected.map(|(role, content)| turns(role, content)));
        }
    }

    #[test]
    fn conversations_of_which_one_begins_the_other_share_all_but_its_last_turn() {
        let read = |row: &str| serde_json::from_str::<Preference>(row).unwrap();
        let turn = |n: usize| {
            format!(
                r#"{{"role": "{}", "content": "{n}"}}"#,
                ["user", "assistant"][n % 2]
            )
        };
        let turns = |count: usize| (0..count).map(turn).collect::<Vec<_>>().join(", ");
        let pair = read(&format!(
            r#"{{"chosen": [{}], "rejected": [{}]}}"#,
            turns(4),
            turns(2)
        ));
        let counts = [&pair.prompt, &pair.chosen, &pair.rejected].map(|turns| match turns {
            Turns::Messages(messages) => messages.len(),
            Turns::Text(_) => 0,
        });
        assert_eq!(counts, [1, 3, 1]);
    }

    #[test]
    fn tools_may_be_json_in_a_text_and_pictures_are_refused() {
        let row = |more: &str| {
            let row =
                format!(r#"{{"prompt": "Who?", "chosen": "Mira.", "rejected": "Me.", {more}}}"#);
            serde_json::from_str::<Preference>(&row).map_err(|error| error.to_string())
        };
        let tools = row(r#""tools": "[{\"name\": \"f\"}]""#).unwrap().tools;
        assert_eq!(tools, Some(serde_json::json!([{"name": "f"}])));
        assert!(row(r#""tools": "[{""#).unwrap_err().contains("no JSON"));
        assert!(
            row(r#""images": ["a.png"]"#)
                .unwrap_err()
                .contains("images")
        );
        assert!(row(r#""images": []"#).is_ok() && row(r#""images": null"#).is_ok());
    }

    #[test]
    fn replies_end_with_one_eos_are_cut_at_the_length_and_share_what_the_prompt_begins_with() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma");
        let mut encoder = PreferenceEncoder {
            tokenizer: Tokenizer::load(&Checkpoint::folder(folder)).unwrap(),
            template: None,
            eos: "<eos>".into(),
            max_length: 512,
        };
        let prompt = "<start_of_turn>model\n";
        let pair = Preference {
            prompt: Turns::Text(prompt.into()),
            chosen: Turns::Text("I play the cello.".into()),
            rejected: Turns::Text("I sing.<eos>".into()),
            tools: None,
            chat_template_kwargs: Map::new(),
        };
        let eos = encoder.tokenizer.token_id("<eos>").unwrap();
        let example = encoder.encode(&pair).unwrap().unwrap();
        assert_eq!(
            example.prompt,
            encoder.tokenizer.encode(prompt).unwrap(),
            "the prompt ends where a token ends"
        );
        for reply in [&example.pairs[0].chosen, &example.pairs[0].rejected] {
            assert_eq!(reply.iter().filter(|&&id| id == eos).count(), 1);
            assert_eq!(reply.last(), Some(&eos));
        }
        let n = example.prompt.len();
        encoder.max_length = n + 2;
        let cut = encoder.encode(&pair).unwrap().unwrap();
        assert_eq!(cut.pairs[0].chosen, example.pairs[0].chosen[..2]);
        assert_eq!(cut.prompt, example.prompt);
        encoder.max_length = n;
        assert!(encoder.encode(&pair).unwrap().is_none());
    }

    #[test]
    fn a_conversation_becomes_the_text_of_its_template_and_needs_one() {
        let there = tempfile::tempdir().unwrap();
        let template = "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}\
                        {% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}";
        std::fs::write(there.path().join("chat_template.jinja"), template).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma");
        let mut encoder = PreferenceEncoder {
            tokenizer: Tokenizer::load(&Checkpoint::folder(folder)).unwrap(),
            template: ChatTemplate::load(&Checkpoint::folder(there.path())).unwrap(),
            eos: "<eos>".into(),
            max_length: 512,
        };
        let pair: Preference = serde_json::from_value(serde_json::json!({
            "prompt": [{"role": "user", "content": "What do you play?"}],
            "chosen": [{"role": "assistant", "content": "I play the cello."}],
            "rejected": [{"role": "assistant", "content": "I sing."}],
        }))
        .unwrap();
        let example = encoder.encode(&pair).unwrap().unwrap();
        let ids = |text: &str| encoder.tokenizer.encode_bare(text).unwrap();
        assert_eq!(
            example.prompt,
            ids("<start_of_turn>user\nWhat do you play?<end_of_turn>\n<start_of_turn>assistant\n")
        );
        let same = Preference {
            rejected: pair.chosen.clone(),
            ..pair.clone()
        };
        let error = encoder.encode(&same).unwrap_err().to_string();
        assert!(error.contains("are the same"), "{error}");
        let end = ids("<end_of_turn>\n");
        assert!(example.pairs[0].chosen.ends_with(&end));
        assert!(example.pairs[0].rejected.ends_with(&end));
        let silent = Preference {
            rejected: Turns::Messages(Vec::new()),
            ..pair.clone()
        };
        let error = encoder.encode(&silent).unwrap_err().to_string();
        assert!(error.contains("adds nothing to the prompt"), "{error}");

        // What a row has for the template.
        let template = "{% for message in messages %}{{ message.content }}{% endfor %}{{ tools[0].name }} {{ mood }}";
        std::fs::write(there.path().join("chat_template.jinja"), template).unwrap();
        encoder.template = ChatTemplate::load(&Checkpoint::folder(there.path())).unwrap();
        let pair: Preference = serde_json::from_value(serde_json::json!({
            "prompt": [{"role": "user", "content": "What?"}],
            "chosen": [{"role": "assistant", "content": "A cello."}],
            "rejected": [{"role": "assistant", "content": "A song."}],
            "tools": [{"name": "cello"}],
            "chat_template_kwargs": {"mood": "calm"},
        }))
        .unwrap();
        let example = encoder.encode(&pair).unwrap().unwrap();
        let end = ids("cello calm");
        assert!(example.pairs[0].rejected.ends_with(&end[1..]));

        encoder.template = None;
        let error = encoder.encode(&pair).unwrap_err().to_string();
        assert!(error.contains("no chat template"), "{error}");
    }

    // The expectations are those of TRL's extract_prompt.
    #[test]
    fn a_prompt_that_stands_in_both_replies_alone_is_found() {
        let read = |row: serde_json::Value| serde_json::from_value::<Preference>(row);
        let text = |text: &str| Turns::Text(text.to_string());
        for (chosen, rejected, parts) in [
            ("Q: a\nA: b", "Q: a\nA: c", ["Q: a\nA:", " b", " c"]),
            (
                "The sky is blue.",
                "The sky is green.",
                ["The sky is", " blue.", " green."],
            ),
            ("Ça y est", "Ça non", ["Ça", " y est", " non"]),
            ("b", "c", ["", "b", "c"]),
            ("same", "same", ["sam", "e", "e"]),
            (
                "Who? Me. And you?",
                "Who? Me.",
                ["Who? Me", ". And you?", "."],
            ),
        ] {
            let pair = read(serde_json::json!({"chosen": chosen, "rejected": rejected})).unwrap();
            assert_eq!([pair.prompt, pair.chosen, pair.rejected], parts.map(text));
        }
        let turn =
            |role: &str, content: &str| serde_json::json!({"role": role, "content": content});
        let user = turn("user", "Who?");
        let row = serde_json::json!({
            "chosen": [user, turn("assistant", "Mira.")],
            "rejected": [user, turn("assistant", "Me.")],
        });
        let pair = read(row).unwrap();
        let turns = [&pair.prompt, &pair.chosen, &pair.rejected].map(|turns| match turns {
            Turns::Messages(messages) => messages[0].content.clone(),
            Turns::Text(text) => panic!("{text} is no message"),
        });
        assert_eq!(turns, ["Who?", "Mira.", "Me."]);
        let mixed = serde_json::json!({"chosen": "a", "rejected": [user]});
        let error = read(mixed).unwrap_err().to_string();
        assert!(error.contains("two texts or two lists"), "{error}");
        let picture = serde_json::json!({"role": "user", "content": [{"type": "image_url"}]});
        let error = read(serde_json::json!({"prompt": [picture], "chosen": [], "rejected": []}));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("image_url"), "{error}");
    }
}
