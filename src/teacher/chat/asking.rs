//! A task as a question: asked once, and once more if the answer cannot be used.

use minijinja::Value as PromptValue;

use crate::Result;
use crate::teacher::Rejected;
use crate::teacher::chat::model::{Question, estimated_tokens};
use crate::teacher::chat::parse::Unusable;
use crate::teacher::chat::prompts::prompt;
use crate::teacher::chat::tasks::Task;
use crate::teacher::chat::thoughts::answer_of;
use crate::teacher::chat::{ChatTeacher, Given, MOST_TOKENS};
use crate::text::Message;

/// Characters of an unusable answer that are shown to the model again.
const SHOWN_CHARS: usize = 2000;

impl ChatTeacher {
    /// Asks a task's question, and once more if the answer cannot be used; `None` if the second cannot either.
    pub(super) fn ask<T>(
        &self,
        task: &Task,
        character: &str,
        values: &[PromptValue],
        read: impl Fn(&str) -> std::result::Result<T, Unusable>,
    ) -> Result<Option<T>> {
        let question = self.question(task, character, values);
        self.ask_twice(question, |given| read(&given.reply))
    }

    /// Asks a question, and once more if the answer cannot be used: with more room if it was cut off.
    pub(super) fn ask_twice<T>(
        &self,
        mut question: Question,
        read: impl Fn(&Given) -> std::result::Result<T, Unusable>,
    ) -> Result<Option<T>> {
        self.state().outcome.asked += 1;
        let read = |given: &Given| {
            if given.is_cut {
                Err("it is cut off before its end; be brief".into())
            } else {
                read(given)
            }
        };
        let first = self.answer(&question)?;
        let reason = match read(&first) {
            Ok(made) => return Ok(Some(made)),
            Err(reason) => reason,
        };
        if first.is_cut {
            question.max_tokens *= 2;
        }
        let again = prompt(self.language, "again", &[PromptValue::from(&reason)]);
        for (role, content) in [("assistant", shown_again(&first)), ("user", again)] {
            question.messages.push(Message::new(role, content));
        }
        let second = self.answer(&question)?;
        match read(&second) {
            Ok(made) => Ok(Some(made)),
            Err(reason) => {
                let rejected = Rejected {
                    task: question.task.to_string(),
                    asked: question.messages[1].content.clone(),
                    replies: vec![first.reply, second.reply],
                    reason,
                };
                self.state().outcome.rejected.push(rejected);
                Ok(None)
            }
        }
    }

    /// Leaves out the texts of an answer that cannot be used, and records each with what `fault` finds wrong with it.
    pub(super) fn drop_unfit(
        &self,
        task: &Task,
        texts: Vec<String>,
        fault: impl Fn(&str) -> Option<Unusable>,
    ) -> Vec<String> {
        let mut dropped = Vec::new();
        let kept = texts.into_iter().filter_map(|text| {
            let Some(reason) = fault(&text) else {
                return Some(text);
            };
            dropped.push(Rejected {
                task: task.name.to_string(),
                asked: String::new(),
                reason,
                replies: vec![text],
            });
            None
        });
        let kept = kept.collect();
        self.state().outcome.dropped.extend(dropped);
        kept
    }
}

/// What is wrong with a sentence that has more than [`MOST_TOKENS`].
pub(super) fn too_long(text: &str) -> Option<Unusable> {
    let tokens = estimated_tokens(text);
    (tokens > MOST_TOKENS)
        .then(|| format!("it has about {tokens} tokens, but a sentence may have {MOST_TOKENS}"))
}

/// An unusable answer as the model is shown it again: its beginning, without thoughts.
fn shown_again(given: &Given) -> String {
    let answer = answer_of(&given.reply).unwrap_or_default();
    if answer.is_empty() {
        return "…".into(); // some servers refuse an empty turn
    }
    match answer.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &answer[..end]),
        None => answer.to_string(),
    }
}
