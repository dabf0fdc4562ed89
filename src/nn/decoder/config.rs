//! The shape of a Gemma.

use burn::config::Config;

use crate::nn::config::{InvalidConfig, check_multiple, check_sizes};

/// The shape of a Gemma 1 or 1.1, by the names of `config.json`.
///
/// As in transformers, [`GemmaConfig::new`] is the 7b. Each field has a `with_` method, so a model of another size
/// reads with names; `save` and `load` of burn's [`Config`] keep it as JSON.
///
/// # Examples
///
/// ```
/// use apc::nn::GemmaConfig;
/// use burn::tensor::Device;
///
/// let config = GemmaConfig::gemma_2b()
///     .with_vocab_size(64)
///     .with_hidden_size(32)
///     .with_intermediate_size(64)
///     .with_num_hidden_layers(2)
///     .with_head_dim(8);
/// assert_eq!(config.num_attention_heads, 8);
/// config.check()?;
/// let gemma = config.init(&Device::default());
/// assert_eq!(gemma.n_layers(), 2);
/// # Ok::<(), apc::nn::InvalidConfig>(())
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct GemmaConfig {
    /// Number of token ids.
    #[config(default = 256_000)]
    pub vocab_size: usize,
    /// Width of the residual stream.
    #[config(default = 3072)]
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    #[config(default = 24_576)]
    pub intermediate_size: usize,
    /// Number of layers.
    #[config(default = 28)]
    pub num_hidden_layers: usize,
    /// Query heads.
    #[config(default = 16)]
    pub num_attention_heads: usize,
    /// Key and value heads; divides the number of query heads.
    #[config(default = 16)]
    pub num_key_value_heads: usize,
    /// Width of a head, which need not be `hidden_size / num_attention_heads`; even, as rotary positions turn its halves.
    #[config(default = 256)]
    pub head_dim: usize,
    /// Added to the mean square in norms.
    #[config(default = 1e-6)]
    pub rms_norm_eps: f64,
    /// Base of the rotary angles.
    #[config(default = 10_000.0)]
    pub rope_theta: f64,
    /// Longest sequence the model was made for, in tokens.
    #[config(default = 8192)]
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding table.
    #[config(default = true)]
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl GemmaConfig {
    /// Returns the shape of `google/gemma-2b` and `gemma-1.1-2b-it`, 2.5 billion weights.
    pub fn gemma_2b() -> Self {
        Self::new()
            .with_hidden_size(2048)
            .with_intermediate_size(16_384)
            .with_num_hidden_layers(18)
            .with_num_attention_heads(8)
            .with_num_key_value_heads(1)
    }

    /// Returns the shape of `google/gemma-7b` and `gemma-1.1-7b-it`, 8.5 billion weights.
    pub fn gemma_7b() -> Self {
        Self::new()
    }

    /// Returns a shape that tests can run at once.
    #[cfg(test)]
    pub(crate) fn small() -> Self {
        Self::new()
            .with_vocab_size(40)
            .with_hidden_size(16)
            .with_intermediate_size(32)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(4)
            .with_num_key_value_heads(2)
            .with_head_dim(8)
            .with_initializer_range(0.3)
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    ///
    /// Fails, naming the field, if a size is zero, `head_dim` is odd, or the query heads are no multiple of the key and
    /// value heads.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        check_multiple(
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        )?;
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("head_dim", self.head_dim),
        ])?;
        if self.head_dim.is_multiple_of(2) {
            Ok(())
        } else {
            let reason = format!("head_dim is {}, but must be even", self.head_dim);
            Err(InvalidConfig::new(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_the_published_shapes_and_pass_the_check() {
        for (config, billions) in [
            (GemmaConfig::gemma_2b(), 2.506),
            (GemmaConfig::gemma_7b(), 8.538),
        ] {
            config.check().unwrap();
            let heads = 2 * (config.num_attention_heads + config.num_key_value_heads);
            let layer = heads * config.head_dim + 3 * config.intermediate_size + 2;
            let rows = config.vocab_size + config.num_hidden_layers * layer + 1;
            let weights = (rows * config.hidden_size) as f64 / 1e9;
            assert!((weights - billions).abs() < 1e-3, "{weights}");
        }
    }

    #[test]
    fn a_shape_that_no_model_can_have_is_told_by_its_field() {
        let told = |config: GemmaConfig| config.check().unwrap_err().to_string();
        let config = GemmaConfig::gemma_2b();
        assert_eq!(
            told(config.clone().with_num_key_value_heads(3)),
            "num_attention_heads is 8, no multiple of num_key_value_heads, 3"
        );
        assert_eq!(
            told(config.clone().with_num_hidden_layers(0)),
            "num_hidden_layers is 0, but must be at least 1"
        );
        assert_eq!(
            told(config.with_head_dim(7)),
            "head_dim is 7, but must be even"
        );
    }

    #[test]
    fn a_config_is_the_same_after_saving_and_loading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let config = GemmaConfig::gemma_2b().with_rope_theta(5000.0);
        config.save(&path).unwrap();
        assert_eq!(GemmaConfig::load(&path).unwrap(), config);
    }
}
