//! Who answers a chat model's questions.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::text::Message;

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

    /// How many questions to ask at once.
    fn concurrency(&self) -> usize;

    /// Answers one question.
    fn complete(&self, question: &Question) -> Result<Completion>;

    /// Returns the usage so far.
    fn usage(&self) -> Usage;

    /// Frees what no question needs until the next.
    fn rest(&self) {}
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
            prompt_tokens,
            completion_tokens,
        } = self;
        write!(
            f,
            "{requests} requests, {answered} answered, {retried} sent again, {prompt_tokens} tokens asked and \
             {completion_tokens} answered"
        )
    }
}
