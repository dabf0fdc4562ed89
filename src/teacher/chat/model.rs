//! Who answers a chat model's questions.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::Message;
use crate::{Result, files};

/// A request to a chat model.
#[derive(Clone, Debug)]
pub struct Question {
    /// The task's name.
    pub task: &'static str,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The JSON schema of the answer.
    pub schema: Value,
    /// The longest answer, in tokens.
    pub max_tokens: u64,
    /// Whether to return the probabilities of alternative tokens.
    pub logprobs: bool,
}

impl Question {
    /// About how many tokens the conversation has.
    pub fn estimated_tokens(&self) -> u64 {
        let texts = self.messages.iter().map(|message| &message.content);
        texts.map(|text| estimated_tokens(text)).sum()
    }
}

/// A chat model's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text of the reply.
    pub reply: String,
    /// Whether it was cut off at the token limit.
    pub is_cut: bool,
    /// Tokens of the conversation.
    pub prompt_tokens: u64,
    /// Tokens of the reply.
    pub completion_tokens: u64,
    /// Each token of the reply with its likeliest alternatives, if the question asked for them and the model returns them.
    pub logprobs: Vec<TokenLogprobs>,
}

/// A token of a reply, with the log-probabilities of its likeliest alternatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// The token.
    pub token: String,
    /// The likeliest tokens with their log-probabilities.
    pub top: Vec<(String, f64)>,
}

/// A model that answers in conversations; it may be asked from many threads at once.
pub trait ChatModel: Send + Sync {
    /// Returns the model's name; kept answers of another name are not used.
    fn name(&self) -> String;

    /// Returns what tells its answers from those of another model of the same name, if anything does: a server's address.
    fn origin(&self) -> String {
        String::new()
    }

    /// How many questions to ask at once.
    fn concurrency(&self) -> usize;

    /// Answers one question.
    fn complete(&self, question: &Question) -> Result<Completion>;

    /// Returns the usage so far.
    fn usage(&self) -> Usage;

    /// Returns how many tokens a conversation may have with its answer, if the model has said so.
    fn context(&self) -> Option<u64> {
        None
    }

    /// Tells the user something about its answers.
    fn tell(&self, _line: &str) {}

    /// Frees what no question needs until the next.
    fn rest(&self) {}
}

impl<M: ChatModel + ?Sized> ChatModel for Arc<M> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn origin(&self) -> String {
        (**self).origin()
    }

    fn concurrency(&self) -> usize {
        (**self).concurrency()
    }

    fn complete(&self, question: &Question) -> Result<Completion> {
        (**self).complete(question)
    }

    fn usage(&self) -> Usage {
        (**self).usage()
    }

    fn context(&self) -> Option<u64> {
        (**self).context()
    }

    fn tell(&self, line: &str) {
        (**self).tell(line);
    }

    fn rest(&self) {
        (**self).rest();
    }
}

/// Returns a conversation without a system's turn, for a model that knows none: it is put before the first of the user.
pub(super) fn without_system(messages: &[Message]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::new();
    let mut before = String::new();
    for message in messages {
        if message.role == "system" {
            before += &format!("{}\n\n", message.content);
        } else {
            let content = std::mem::take(&mut before) + &message.content;
            turns.push(Message::new(message.role.clone(), content));
        }
    }
    turns
}

/// Returns a model's name in records: with a mark of where its answers come from, if that is not its maker; whoever gets
/// the records does not get the address.
pub(super) fn recorded_name(model: &str, origin: &str) -> String {
    if origin.is_empty() {
        model.to_string()
    } else {
        format!("{model} of server {}", &files::checksum_of(origin)[..8])
    }
}

/// About how many tokens a text has: four letters of an alphabet make one, other characters one each.
pub(super) fn estimated_tokens(text: &str) -> u64 {
    let ascii = text.chars().filter(char::is_ascii).count() as u64;
    let others = text.chars().count() as u64 - ascii;
    ascii.div_ceil(4) + others
}

/// Requests and tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that failed, or were put off, and were sent again.
    pub retried: u64,
    /// Those that were cancelled: the answer took too long, or was not wanted any more.
    #[serde(default)]
    pub abandoned: u64,
    /// Tokens of the prompts that were answered.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            answered,
            retried,
            abandoned,
            prompt_tokens,
            completion_tokens,
        } = self;
        write!(
            f,
            "{requests} requests, {answered} answered, {retried} sent again, {abandoned} cancelled, {prompt_tokens} tokens asked and \
             {completion_tokens} answered"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_says_comes_before_what_the_user_says() {
        let message = |role: &str, content: &str| Message::new(role, content);
        let told = [
            message("system", "Be brief."),
            message("user", "Who?"),
            message("assistant", "I."),
            message("user", "Why?"),
        ];
        let [first, second, third] = &without_system(&told)[..] else {
            panic!("three turns are left");
        };
        assert_eq!(*first, message("user", "Be brief.\n\nWho?"));
        assert_eq!((second, third), (&told[2], &told[3]));
    }
}
