//! What is asked of a model: prompts, how replies are made, and how much may be under way.

use std::collections::{HashMap, HashSet};

use crate::nn::Decoder;
use crate::text::Sampling;

/// A prompt and the seeds of the replies wanted to it, one reply a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompt's ids.
    pub ids: Vec<i32>,
    /// One seed for each reply.
    pub seeds: Vec<u64>,
}

/// How replies are made.
///
/// ```
/// use apc::text::{GenerateConfig, Sampling};
///
/// let config = GenerateConfig {
///     sampling: Sampling::at_temperature(0.7),
///     stop_ids: vec![1],
///     ..GenerateConfig::new(64)
/// };
/// assert_eq!(config.min_new_tokens, 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateConfig {
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
    /// Shortest reply, in tokens: until then no stop token is chosen.
    pub min_new_tokens: usize,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// Tokens that end a reply; they are not part of it.
    pub stop_ids: Vec<i32>,
    /// Taken from the logit of every token that the reply has already.
    pub presence_penalty: f32,
    /// Taken from the logit of a token as often as the reply has it.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(i32, f32)>,
    /// If set, each token is told with its log-probability and those of so many of the likeliest ones.
    pub top_logprobs: Option<usize>,
}

impl GenerateConfig {
    /// Takes the likeliest token each time, and ends at the longest length alone.
    pub fn new(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            min_new_tokens: 0,
            sampling: Sampling::Greedy,
            stop_ids: Vec::new(),
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            top_logprobs: None,
        }
    }

    /// What is added to the logits before a token is chosen behind `reply`, by the token's id.
    pub(super) fn changes(&self, reply: &[i32]) -> HashMap<i32, f32> {
        let mut changes: HashMap<i32, f32> = self.logit_bias.iter().copied().collect();
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            let mut seen = HashSet::new();
            for &id in reply {
                let first = if seen.insert(id) {
                    self.presence_penalty
                } else {
                    0.0
                };
                *changes.entry(id).or_default() -= first + self.frequency_penalty;
            }
        }
        changes
    }
}

/// How much may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Replies.
    pub rows: usize,
    /// Tokens that the cache holds for them once each is as long as it may become.
    pub tokens: usize,
}

impl Room {
    /// Enough rows to make good use of the weights, and as many bytes for the cache as there are weights, a quarter of what
    /// they take in f32, or half a gibibyte.
    pub fn of(model: &Decoder) -> Self {
        const ROWS: usize = 64;
        Self {
            rows: ROWS,
            tokens: Self::cache_bytes(model.num_weights()) / model.cache_bytes(),
        }
    }

    /// The bytes that the cache of a model with so many weights may take.
    pub(crate) fn cache_bytes(n_weights: usize) -> usize {
        const LEAST: usize = 1 << 29;
        n_weights.max(LEAST)
    }

    /// The room of each of `parts` that go on at the same time: as many rows, but a part of the cache.
    pub fn shared_by(self, parts: usize) -> Self {
        Self {
            tokens: self.tokens / parts.max(1),
            ..self
        }
    }
}
