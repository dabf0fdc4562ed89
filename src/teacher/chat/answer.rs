//! A chat completion, as servers send it.

use serde::Deserialize;

/// The part of a server's answer that matters here; other servers than OpenAI's leave out much of the rest.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Tokens>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) message: Said,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
pub(super) struct Logprobs {
    pub(super) content: Option<Vec<Logprob>>,
}

#[derive(Deserialize)]
pub(super) struct Logprob {
    pub(super) token: String,
    pub(super) logprob: f64,
    #[serde(default)]
    pub(super) top_logprobs: Vec<Logprob>,
}

#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) content: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Tokens {
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
}
