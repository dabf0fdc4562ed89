//! What a model needs in memory, told before it is loaded.

use std::fmt;

use bytesize::ByteSize;

use crate::files::{EmbeddingQuantization, Precision, Quantization};
use crate::nn::DecoderConfig;
use crate::text::Room;
use crate::{Error, Result};

/// What a model will do.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// One reply at a time.
    Reply {
        /// Tokens of prompt and reply together.
        tokens: usize,
        /// Those of the reply.
        new_tokens: usize,
    },
    /// Many replies at once.
    Sample {
        /// Replies under way.
        rows: usize,
        /// Tokens of prompt and reply together.
        tokens: usize,
    },
    /// The log-probabilities of given texts.
    Logps {
        /// Tokens of the longest text.
        tokens: usize,
    },
    /// A base on which LoRA factors are trained.
    Train {
        /// Rank of the factors.
        rank: usize,
        /// Bytes of a number in the factors and in the optimizer's two moments of it.
        factor_bytes: usize,
        /// Sequences in a batch.
        batch_size: usize,
        /// Tokens of each, padding included.
        seq: usize,
        /// Whether activations are computed anew in the backward pass.
        gradient_checkpointing: bool,
    },
}

impl Work {
    /// One reply at a time, of at most so many tokens, to prompts of persona statements.
    pub fn reply(max_new_tokens: usize) -> Self {
        /// Tokens of a prompt, generously.
        const PROMPT: usize = 1024;
        Self::Reply {
            tokens: PROMPT.saturating_add(max_new_tokens),
            new_tokens: max_new_tokens,
        }
    }

    /// Replies to many queries at once, so many to each.
    pub fn sample(replies: usize, max_new_tokens: usize) -> Self {
        /// Tokens of a prompt, generously, and replies under way at the same time.
        const PROMPT: usize = 512;
        const ROWS: usize = 64;
        Self::Sample {
            rows: replies.max(ROWS),
            tokens: PROMPT.saturating_add(max_new_tokens),
        }
    }

    pub(crate) fn is_training(&self) -> bool {
        matches!(self, Self::Train { .. })
    }
}

/// Bytes that some work on a model needs, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The weights, and half of the largest once more while it is read.
    pub weights: u64,
    /// A copy of the weights that drafts replies; made only where there is room for it.
    pub draft: u64,
    /// Judges that are loaded beside the model.
    pub judges: u64,
    /// LoRA factors, their gradients and the optimizer's moments.
    pub factors: u64,
    /// Keys and values of the tokens so far.
    pub cache: u64,
    /// What a pass keeps, for training until the backward pass.
    pub activations: u64,
    /// How the weights are kept.
    pub precision: Precision,
}

impl Requirements {
    /// An estimate from the model's shape alone.
    pub fn of(config: &DecoderConfig, precision: Precision, work: &Work) -> Self {
        let shape = config.size();
        let size = precision.value_bytes();
        let tables = if config.tie_word_embeddings { 1 } else { 2 };
        let table = config.vocab_size as u64 * config.hidden_size as u64;
        // Embeddings for each layer stay on the disk.
        let weights = precision.projection_bytes(shape.projections)
            + tables * precision.embedding_bytes(config.vocab_size as u64, table)
            + shape.rest * size;
        let most_cached = Room::cache_bytes(shape.total() as usize) as u64;
        // A layer with a window keeps some tokens beyond it.
        let in_window = 3 * config.sliding_window as u64 / 2 + 128;
        let cached = |rows: u64, tokens: u64| {
            let numbers = tokens * shape.cached + tokens.min(in_window) * shape.cached_in_window;
            (rows * numbers * size).min(most_cached)
        };
        let matrix = (config.hidden_size * config.intermediate_size) as u64;
        // Embeddings in a few bits are read some rows at a time.
        let table = match precision.embeddings_of(config.vocab_size) {
            EmbeddingQuantization::Int8 | EmbeddingQuantization::Nf4 => 0,
            EmbeddingQuantization::None | EmbeddingQuantization::Auto => shape.embeddings,
        };
        let largest = table.max(matrix) * size / 2;
        let logits = |rows: u64| rows * config.vocab_size as u64 * 4;
        let layers = config.num_hidden_layers as u64;
        let (factors, cache, activations) = match *work {
            Work::Reply { tokens, .. } => (0, cached(1, tokens as u64), logits(8)),
            Work::Sample { rows, tokens } => (
                0,
                cached(rows as u64, tokens as u64),
                logits(2 * rows as u64),
            ),
            Work::Logps { tokens } => {
                let layer = config.activations(0, tokens);
                (0, 0, tokens as u64 * layer * size + logits(128))
            }
            Work::Train {
                rank,
                factor_bytes,
                batch_size,
                seq,
                gradient_checkpointing,
            } => {
                let factors = shape.lora * rank as u64;
                let tokens = batch_size.saturating_mul(seq) as u64;
                let each = (0..config.num_hidden_layers)
                    .map(|layer_idx| config.activations(layer_idx, seq));
                let recomputes =
                    gradient_checkpointing || precision.quantization == Quantization::Nf4;
                let kept = if recomputes {
                    // What goes into each layer, and all of one layer, whose weights are dense meanwhile.
                    let dense = match precision.quantization {
                        Quantization::None => 0,
                        Quantization::Nf4 => shape.largest_layer * size,
                    };
                    let largest = each.max().unwrap_or(0);
                    tokens * (layers * config.hidden_size as u64 + largest) * size + dense
                } else {
                    tokens * each.sum::<u64>() * size
                };
                // Factors and both moments, and their gradients in f32.
                let each = 3 * factor_bytes as u64 + 4;
                (factors * each, 0, kept + 3 * logits(128))
            }
        };
        Self {
            weights: weights + largest,
            draft: 0,
            judges: 0,
            factors,
            cache,
            activations,
            precision,
        }
    }

    /// The bytes that are required; a draft is made only where there is room for it.
    pub fn total(&self) -> u64 {
        self.weights + self.judges + self.factors + self.cache + self.activations
    }

    /// An error if the need is greater than what is free, `free` bytes.
    pub fn check(&self, name: &str, free: u64) -> Result<()> {
        if self.total() <= free {
            return Ok(());
        }
        Err(Error::Memory {
            name: name.to_string(),
            needs: self.to_string(),
            free: ByteSize(free).to_string(),
            advice: self.advice(),
        })
    }
}

impl Requirements {
    /// The settings that make the largest part less.
    fn advice(&self) -> String {
        let is_dense = self.precision.quantization == Quantization::None;
        let is_long = self.precision.value_bytes() > 2;
        let weights = match (is_dense, is_long) {
            (true, true) => "`quantization` nf4 or `dtype` bfloat16",
            (true, false) => "`quantization` nf4",
            (false, true) => "`dtype` bfloat16",
            (false, false) => "a smaller `model`",
        };
        let parts = [
            (self.weights, weights),
            (
                self.judges,
                "`judge_quantization` nf4 or `judge_dtype` bfloat16",
            ),
            (self.factors, "a lower `lora_rank`"),
            (self.cache, "a lower `max_new_tokens`"),
            (
                self.activations,
                "`gradient_checkpointing` or a lower `batch_size` or `max_new_tokens`",
            ),
        ];
        let largest = parts.into_iter().max_by_key(|(bytes, _)| *bytes);
        largest.map_or(String::new(), |(_, advice)| advice.to_string())
    }
}

impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("weights", self.weights),
            ("draft", self.draft),
            ("judges", self.judges),
            ("factors and moments", self.factors),
            ("cache", self.cache),
            ("activations", self.activations),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{name} {}", ByteSize(bytes)))
            .collect();
        write!(
            f,
            "about {} of memory ({})",
            ByteSize(self.total() + self.draft),
            parts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Dtype;

    fn gib(bytes: u64) -> f64 {
        bytes as f64 / f64::from(1 << 30)
    }

    #[test]
    fn four_bits_take_a_ninth_of_the_projections_in_f32() {
        let dense = Precision::default();
        let nf4 = Precision {
            quantization: Quantization::Nf4,
            ..dense
        };
        let work = Work::Reply {
            tokens: 256,
            new_tokens: 64,
        };
        let [dense, nf4] = [dense, nf4]
            .map(|precision| Requirements::of(&DecoderConfig::gemma_2b(), precision, &work));
        // 1.98 billion values in projections, 0.52 billion in the table, which is kept in eight bits then.
        assert!((gib(dense.weights) - 10.3).abs() < 0.2, "{dense}");
        assert!((gib(nf4.weights) - 1.6).abs() < 0.1, "{nf4}");
        assert!(dense.to_string().contains("weights") && dense.factors == 0);
    }

    #[test]
    fn training_needs_factors_with_moments_and_less_activations_when_they_are_computed_anew() {
        let train = |gradient_checkpointing| Work::Train {
            rank: 32,
            factor_bytes: 4,
            batch_size: 4,
            seq: 256,
            gradient_checkpointing,
        };
        let bf16 = Precision {
            dtype: Dtype::Bfloat16,
            quantization: Quantization::None,
            ..Precision::default()
        };
        let [kept, anew] = [false, true]
            .map(|anew| Requirements::of(&DecoderConfig::gemma_2b(), bf16, &train(anew)));
        // 39 million numbers, each with its gradient and two moments.
        assert!((gib(kept.factors) - 0.58).abs() < 0.02, "{kept}");
        assert!(anew.activations < kept.activations / 3, "{kept} {anew}");
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_tells_what_is_needed_and_what_is_free() {
        let huge = Requirements {
            weights: 1 << 50,
            ..Requirements::default()
        };
        let error = huge.check("a model", 1 << 40).unwrap_err().to_string();
        assert!(
            error.contains("a model") && error.contains("free") && error.contains("`quantization`"),
            "{error}"
        );
        Requirements::default().check("nothing", 0).unwrap();
        for (dtype, quantization, advice) in [
            (Dtype::Float32, Quantization::Nf4, "try `dtype` bfloat16"),
            (
                Dtype::Bfloat16,
                Quantization::None,
                "try `quantization` nf4",
            ),
            (Dtype::Bfloat16, Quantization::Nf4, "try a smaller `model`"),
        ] {
            let precision = Precision {
                dtype,
                quantization,
                ..Precision::default()
            };
            let error = Requirements { precision, ..huge }.check("a model", 1);
            let told = error.unwrap_err().to_string();
            assert!(
                told.ends_with(advice),
                "what is so already is not advised: {told}"
            );
        }
    }
}
