//! What clients get, as OpenAI's API writes it; the fields `apc` are ours.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::persona::{Score, StatementScore, Told};

#[derive(Clone, Debug, Serialize)]
pub(super) struct ScoreResponse {
    pub(super) object: &'static str,
    pub(super) model: String,
    pub(super) scores: Vec<Scored>,
}

/// The score of a response.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scored {
    #[serde(flatten)]
    pub(super) score: Score,
    /// What it does with what the user has told of themself, apart from the score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) established: Vec<Told>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) total_tokens: usize,
}

impl Usage {
    pub(super) fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
        }
    }
}

/// A token with its log-probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TokenLogprob {
    pub(super) token: String,
    pub(super) logprob: f32,
    pub(super) bytes: Vec<u8>,
}

/// A token of a reply, and what else was likely in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ContentLogprob {
    #[serde(flatten)]
    pub(super) token: TokenLogprob,
    pub(super) top_logprobs: Vec<TokenLogprob>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ChoiceLogprobs {
    pub(super) content: Vec<ContentLogprob>,
    pub(super) refusal: Option<()>,
}

/// A statement and how sure a judge is of what a reply does with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Touched {
    pub(super) statement: String,
    pub(super) relevance: f64,
    pub(super) probability: f64,
    /// The words of the reply that contradict it, from one character to before another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<[usize; 2]>,
}

/// How faithful a choice is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) apc: f64,
    pub(super) delta_apc: f64,
    /// How many replies were sampled for the choices.
    pub(super) sampled: usize,
    /// The statements that the last turn brought into the prompt.
    pub(super) retrieved: Vec<String>,
    /// Relevant statements that the reply follows from.
    pub(super) honoured: Vec<Touched>,
    /// Relevant statements that the reply leaves open.
    pub(super) missed: Vec<Touched>,
    /// Statements that the reply contradicts, relevant or not.
    pub(super) contradicted: Vec<Touched>,
    /// How many of the oldest exchanges had no room in the prompt.
    pub(super) dropped: usize,
    /// What the user has told of themself and what the reply does with it, apart from the score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) established: Vec<Told>,
}

impl Verdict {
    pub(super) fn new(score: &Score, retrieved: &[String], dropped: usize, sampled: usize) -> Self {
        let touched = |is: &dyn Fn(&StatementScore) -> Option<f64>| {
            let found = score.statements.iter().filter_map(|part| {
                Some(Touched {
                    statement: part.statement.clone(),
                    relevance: part.relevance,
                    probability: is(part)?,
                    words: None,
                })
            });
            let mut found: Vec<Touched> = found.collect();
            found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            found
        };
        let likely = |probability: f64| (probability >= 0.5).then_some(probability);
        let relevant = |part: &StatementScore| part.relevance >= 0.5;
        Self {
            apc: score.apc,
            delta_apc: score.delta_apc,
            sampled,
            retrieved: retrieved.to_vec(),
            honoured: touched(&|part| likely(part.entailed).filter(|_| relevant(part))),
            missed: touched(&|part| {
                let is_open = part.entailed < 0.5 && part.contradicted < 0.5;
                (relevant(part) && is_open).then_some(part.neutral)
            }),
            contradicted: touched(&|part| likely(part.contradicted)),
            dropped,
            established: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ReplyMessage {
    pub(super) role: &'static str,
    pub(super) content: String,
    pub(super) refusal: Option<()>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) message: ReplyMessage,
    pub(super) logprobs: Option<ChoiceLogprobs>,
    pub(super) finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apc: Option<Verdict>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChatResponse {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
    pub(super) system_fingerprint: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChunkChoice {
    pub(super) index: usize,
    pub(super) delta: Delta,
    pub(super) logprobs: Option<ChoiceLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apc: Option<Verdict>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChatChunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<Usage>>,
    pub(super) system_fingerprint: &'a str,
}

/// Log-probabilities as completions have them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct FlatLogprobs {
    pub(super) tokens: Vec<String>,
    pub(super) token_logprobs: Vec<f32>,
    pub(super) top_logprobs: Vec<BTreeMap<String, f32>>,
    pub(super) text_offset: Vec<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct TextChoice {
    pub(super) index: usize,
    pub(super) text: String,
    pub(super) logprobs: Option<FlatLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CompletionResponse {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<TextChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    pub(super) system_fingerprint: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) owned_by: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) object: &'static str,
    pub(super) data: Vec<T>,
}

impl<T> List<T> {
    pub(super) fn new(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
        }
    }
}
