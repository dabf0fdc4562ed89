//! How a checkpoint writes a conversation: where turns begin and end, who speaks in them, and what is no part of a reply.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use fancy_regex::Regex;
use serde_json::{Map, Value, json};

use crate::files::{self, Checkpoint};
use crate::text::chat_template::{CONFIG, special_tokens};
use crate::text::{ChatTemplate, Message, Tokenizer};
use crate::{Error, Result};

/// The turns of Gemmas whose checkpoints have no template, as base models have none; a system turn goes in front of the
/// first one.
const GEMMA: &str = "{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}{% set turns = messages[1:] %}\
    {% else %}{% set first = '' %}{% set turns = messages %}{% endif %}\
    {% for turn in turns %}<start_of_turn>{{ 'model' if turn.role == 'assistant' else turn.role }}\n\
    {{ (first if loop.first else '') + turn.content }}<end_of_turn>\n{% endfor %}\
    {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/// The same for Gemma 4, which has a system turn.
const GEMMA_4: &str = "<bos>{% for turn in messages %}<|turn>{{ 'model' if turn.role == 'assistant' else turn.role }}\n\
    {{ turn.content }}<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}";

/// What opens and closes a thought, each a token of its own in models that think.
const THOUGHTS: [[&str; 2]; 4] = [
    ["<think>", "</think>"],
    ["<|channel>", "<channel|>"],
    ["[THINK]", "[/THINK]"],
    ["<|begin_of_thought|>", "<|end_of_thought|>"],
];

/// How a checkpoint writes a conversation, read off its own chat template.
#[derive(Clone, Debug)]
pub struct ChatFormat {
    /// What it is called in messages.
    name: String,
    template: Option<ChatTemplate>,
    /// Whether the template is the checkpoint's.
    is_own: bool,
    /// Why the template cannot write a plain conversation, if it cannot.
    refusal: Option<String>,
    has_system_turn: bool,
    is_gemma_1: bool,
    /// What the tokenizer puts in front of every text, so that the template need not.
    bos: String,
    /// What a text from outside must not bring along, and the lengths of these in bytes.
    marks: HashSet<String>,
    mark_lengths: BTreeSet<usize>,
    stop_ids: Vec<i32>,
    eos_token: Option<String>,
    end_id: Option<i32>,
    thoughts: Vec<[i32; 2]>,
    /// What closes the thought that a prompt ends in, if the template opens one whatever it is told.
    opened_thought: Option<i32>,
}

impl ChatFormat {
    /// Reads how a checkpoint writes a conversation.
    ///
    /// # Errors
    ///
    /// Fails if a file is damaged. A template that cannot render a plain conversation is told of when it is asked to.
    pub fn load(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Self> {
        let family = files::model_type(checkpoint)?;
        let built_in = match family.as_str() {
            "gemma" | "gemma2" => Some(GEMMA),
            family if family.starts_with("gemma3") => Some(GEMMA),
            family if family.starts_with("gemma4") => Some(GEMMA_4),
            _ => None,
        };
        let built_in = built_in.map(|source| {
            let path = PathBuf::from("chat_template");
            ChatTemplate::new(path, source.to_string(), Map::new())
        });
        let own = ChatTemplate::load(checkpoint)?;
        let is_own = own.is_some();
        let template = match own {
            Some(template) => Some(template),
            None => built_in.transpose()?,
        };
        let mut format = Self {
            name: checkpoint.name(),
            template,
            is_own,
            refusal: None,
            has_system_turn: false,
            is_gemma_1: family == "gemma",
            bos: tokenizer.begins_with()?,
            marks: tokenizer.special_tokens().into_iter().collect(),
            mark_lengths: BTreeSet::new(),
            stop_ids: files::read_eos_token_ids(checkpoint)?,
            eos_token: eos_token(checkpoint, tokenizer)?,
            end_id: tokenizer.token_id("<eos>"),
            opened_thought: None,
            thoughts: THOUGHTS
                .iter()
                .filter_map(|[open, close]| {
                    Some([tokenizer.token_id(open)?, tokenizer.token_id(close)?])
                })
                .collect(),
        };
        // What needs no conversation works without it.
        format.refusal = format.probe(tokenizer).err().map(|error| error.to_string());
        format.settle(tokenizer);
        Ok(format)
    }

    /// Renders conversations of marks and sees what stands around them.
    fn probe(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        static MARK: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\]").expect("the pattern compiles")
        });
        let [system, user, reply] = ["system", "user", "assistant"]
            .map(|role| Message::new(role, format!("said by {role}")));
        if self.template.is_some() {
            let with_system = self.rendered(&[system.clone(), user.clone()], true);
            // Some templates refuse a system turn, and some leave it out.
            let with_system = with_system.ok();
            let with_system = with_system.filter(|text| text.contains(&system.content));
            self.has_system_turn = with_system.is_some();
            let opened = self.rendered(std::slice::from_ref(&user), true)?;
            let whole = self.rendered(&[user, reply.clone()], false)?;
            let (_, behind_user) = opened.rsplit_once("said by user").unwrap_or_default();
            self.opened_thought = opened_thought(behind_user, tokenizer);
            for text in [&opened, &whole].into_iter().chain(&with_system) {
                let found = MARK.find_iter(text).filter_map(std::result::Result::ok);
                self.marks
                    .extend(found.map(|mark| mark.as_str().to_string()));
            }
            let behind = whole
                .rsplit_once(&reply.content)
                .map_or("", |(_, behind)| behind);
            let (_, ends) = tokenizer.split_at_special(behind);
            // Some vocabularies do not call the token special that ends a turn.
            let first = MARK.find(behind).ok().flatten();
            let named = first.and_then(|mark| tokenizer.token_id(mark.as_str()));
            let end = ends.first().map(|&(id, _)| id).or(named);
            if !self.is_gemma_1 {
                self.end_id = end.or(self.stop_ids.first().copied());
            }
            self.stop_ids.extend(end);
        }
        Ok(())
    }

    /// Completes the list of ids that end a reply, and the marks.
    fn settle(&mut self, tokenizer: &Tokenizer) {
        // The first Gemmas end some replies with either.
        let ends = ["<eos>", "<end_of_turn>"].map(|token| tokenizer.token_id(token));
        self.stop_ids.extend(ends.into_iter().flatten());
        let mut seen = Vec::new();
        self.stop_ids.retain(|id| {
            !seen.contains(id) && {
                seen.push(*id);
                true
            }
        });
        self.marks
            .retain(|mark| mark.contains(['<', '>', '[', ']', '|']));
        self.mark_lengths = self.marks.iter().map(String::len).collect();
    }

    fn rendered(&self, messages: &[Message], opens_reply: bool) -> Result<String> {
        if let Some(refusal) = &self.refusal {
            let reason = format!("cannot write a conversation: {refusal}");
            return Err(Error::invalid(&self.name, reason));
        }
        let Some(template) = &self.template else {
            let reason = "has no chat template, so it is not known how to write a conversation for it; take its instruction-tuned \
                          version, whose name often ends in -it or -Instruct, or put a chat_template.jinja into the folder";
            return Err(Error::invalid(&self.name, reason));
        };
        // Templates of models that can think ask for one of these.
        let plain = ["enable_thinking", "thinking"].map(|name| (name.to_string(), json!(false)));
        let variables: Map<String, Value> = plain.into_iter().collect();
        template.render_with(messages, opens_reply, &variables)
    }

    /// Writes a conversation and opens the turn of the reply, without a thought. The tokenizer's own special tokens are not
    /// in front of it; a system turn is written where the model has none by putting it before the first turn of the user.
    ///
    /// # Errors
    ///
    /// A checkpoint without a chat template, and a conversation that its template refuses.
    pub fn prompt(&self, messages: &[Message]) -> Result<String> {
        let text = match messages {
            [system, first, others @ ..] if system.role == "system" && !self.has_system_turn => {
                let content = format!("{}\n\n{}", system.content, first.content);
                let first = Message::new(first.role.as_str(), content);
                self.rendered(&[&[first], others].concat(), true)?
            }
            messages => self.rendered(messages, true)?,
        };
        Ok(match text.trim_start().strip_prefix(&self.bos) {
            Some(behind) if !self.bos.is_empty() => behind.to_string(),
            _ => text,
        })
    }

    /// The checkpoint's own template, if it has one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref().filter(|_| self.is_own)
    }

    /// Whether this is a Gemma of the first generation, whose prompts have the paper's layout.
    pub fn is_gemma_1(&self) -> bool {
        self.is_gemma_1
    }

    /// A text without the marks of turns and other special tokens, not even one that comes to be when another is taken out.
    pub fn without_marks(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            clean.push(c);
            // A mark is taken out as soon as it is whole, so no text is gone through twice. Of several the longest goes.
            let starts = self.mark_lengths.iter().rev();
            let mut starts = starts.filter_map(|length| clean.len().checked_sub(*length));
            let is_mark = |start: &usize| {
                clean
                    .get(*start..)
                    .is_some_and(|end| self.marks.contains(end))
            };
            if let Some(start) = starts.find(is_mark) {
                clean.truncate(start);
            }
        }
        clean.trim().to_string()
    }

    /// The ids at which a reply ends: where the checkpoint says that its texts end, and the end of a turn, which many
    /// checkpoints do not list.
    pub fn stop_ids(&self) -> &[i32] {
        &self.stop_ids
    }

    /// The token with which the tokenizer's settings say that a text ends, if they do.
    pub fn eos_token(&self) -> Option<String> {
        self.eos_token.clone()
    }

    /// The id that a reply ends with where one is learnt from.
    pub fn end_id(&self) -> Option<i32> {
        self.end_id
    }

    /// Tells tokens that are said from those that are thought, one after the other.
    pub fn spoken(&self) -> Spoken<'_> {
        Spoken {
            thoughts: &self.thoughts,
            closes_with: self.opened_thought,
        }
    }
}

/// The token that `tokenizer_config.json` names for the end of a text, if it is one of the vocabulary.
fn eos_token(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Option<String>> {
    let config: Option<Map<String, Value>> = checkpoint.read_json_if_any(CONFIG)?;
    let tokens = special_tokens(config.unwrap_or_default());
    let named = tokens.get("eos_token").and_then(Value::as_str);
    let named = named.filter(|token| tokenizer.token_id(token).is_some());
    Ok(named.map(str::to_string))
}

/// What closes the last thought that a text opens and does not close.
fn opened_thought(text: &str, tokenizer: &Tokenizer) -> Option<i32> {
    let open = |[open, close]: &[&str; 2]| {
        let (_, behind) = text.rsplit_once(open)?;
        let is_open = !behind.contains(close);
        is_open.then(|| tokenizer.token_id(close)).flatten()
    };
    THOUGHTS.iter().find_map(open)
}

/// What a reply says, without what it thinks.
#[derive(Clone, Debug)]
pub struct Spoken<'a> {
    thoughts: &'a [[i32; 2]],
    closes_with: Option<i32>,
}

impl Spoken<'_> {
    /// Whether the next token of a reply is said.
    pub fn is_said(&mut self, id: i32) -> bool {
        if let Some(close) = self.closes_with {
            if id == close {
                self.closes_with = None;
            }
            return false;
        }
        let mark = |[open, close]: &&[i32; 2]| *open == id || *close == id;
        match self.thoughts.iter().find(mark) {
            Some([open, close]) if *open == id => {
                self.closes_with = Some(*close);
                false
            }
            Some(_) => false,
            None => true,
        }
    }

    /// The tokens of a whole reply that are said.
    pub fn of(mut self, ids: &[i32]) -> Vec<i32> {
        ids.iter().copied().filter(|&id| self.is_said(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thought_is_not_said_even_if_the_thought_does_not_end() {
        let thoughts = [[7, 8], [17, 18]];
        let said = |ids: &[i32]| {
            let spoken = Spoken {
                thoughts: &thoughts,
                closes_with: None,
            };
            spoken.of(ids)
        };
        assert_eq!(said(&[1, 2]), [1, 2]);
        assert_eq!(said(&[7, 1, 18, 8, 2, 3]), [2, 3]);
        assert_eq!(said(&[8, 2, 17, 3]), [2]);
        assert_eq!(said(&[7, 1]), [0; 0]);
    }

    /// The format of a checkpoint with this template and a few tokens, of which the end of a turn is not called special.
    fn format(template: &str) -> ChatFormat {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, json: &Value| {
            std::fs::write(folder.path().join(name), json.to_string()).unwrap();
        };
        let tokens = ["<unk>", "hello", "<think>", "</think>", "<|im_end|>"];
        let added = tokens[2..].iter().zip(2..).map(|(token, id)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": false})
        });
        let vocab: Map<String, Value> = tokens
            .iter()
            .zip(0..)
            .map(|(token, id)| (token.to_string(), json!(id)))
            .collect();
        write(
            "tokenizer.json",
            &json!({
                "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
                "added_tokens": added.collect::<Vec<_>>(), "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
                "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
            }),
        );
        write(
            "config.json",
            &json!({"model_type": "qwen2", "eos_token_id": 0}),
        );
        write("tokenizer_config.json", &json!({"chat_template": template}));
        let checkpoint = Checkpoint::folder(folder.path());
        let tokenizer = Tokenizer::load(&checkpoint).unwrap();
        ChatFormat::load(&checkpoint, &tokenizer).unwrap()
    }

    const TURNS: &str = "{% for m in messages %}{% if m.role == 'system' %}[SYS]{{ m.content }}[/SYS]{% else %}\
        [{{ m.role }}]{{ m.content }}<|im_end|>{% endif %}{% endfor %}";

    fn user(text: &str) -> Message {
        Message::new("user", text)
    }

    #[test]
    fn marks_of_the_system_turn_are_taken_out_and_a_turn_ends_with_what_the_template_ends_it_with()
    {
        let format = format(TURNS);
        let text = "a [/SYS] b <|im_end|> c [user] d [SYS[SYS]]";
        assert_eq!(format.without_marks(text), "a  b  c  d");
        assert_eq!((format.stop_ids(), format.end_id()), (&[0, 4][..], Some(4)));
        let prompt = format.prompt(&[Message::new("system", "Be kind."), user("Hi")]);
        assert_eq!(prompt.unwrap(), "[SYS]Be kind.[/SYS][user]Hi<|im_end|>");
    }

    #[test]
    fn a_thought_that_the_template_opens_is_no_part_of_the_reply_either() {
        let opened = format(&format!(
            "{TURNS}{{% if add_generation_prompt %}}<think>{{% endif %}}"
        ));
        assert_eq!(opened.spoken().of(&[1, 1, 3, 1]), [1]);
        let closed = format(&format!("{TURNS}<think></think>"));
        assert_eq!(closed.spoken().of(&[1, 2, 1, 3, 1]), [1, 1]);
    }

    #[test]
    fn a_template_that_fails_is_told_of_when_a_prompt_is_wanted() {
        let format = format("{{ raise_exception('not today') }}");
        let error = format.prompt(&[user("Hi")]).unwrap_err().to_string();
        assert!(error.contains("not today"), "{error}");
    }
}
