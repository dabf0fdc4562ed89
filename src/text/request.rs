//! What is asked of a model: prompts, how replies are made, and how much may be under way.

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
