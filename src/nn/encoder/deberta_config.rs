//! The shape of a DeBERTa.

use burn::config::Config;

use crate::nn::config::{InvalidConfig, check_dropout, check_layers, check_multiple, check_sizes};
use crate::nn::encoder::position::PositionTerm;
use crate::nn::layers::activation::Activation;

/// The shape of a DeBERTa-v2 or v3 classifier, by the names of `config.json`.
///
/// [`DebertaConfig::new`] is DeBERTa-v3-base with two classes. Each field has a `with_` method.
///
/// # Examples
///
/// ```
/// use apc::nn::DebertaConfig;
/// use burn::tensor::Device;
///
/// let config = DebertaConfig::deberta_v3_base()
///     .with_vocab_size(64)
///     .with_hidden_size(32)
///     .with_intermediate_size(64)
///     .with_num_attention_heads(2)
///     .with_num_hidden_layers(1)
///     .with_num_labels(3);
/// config.check()?;
/// let judge = config.init(&Device::default());
/// # Ok::<(), apc::nn::InvalidConfig>(())
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct DebertaConfig {
    /// Number of token ids.
    #[config(default = 128_100)]
    pub vocab_size: usize,
    /// Width of the residual stream.
    #[config(default = 768)]
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    #[config(default = 3072)]
    pub intermediate_size: usize,
    /// Number of layers.
    #[config(default = 12)]
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    #[config(default = 12)]
    pub num_attention_heads: usize,
    /// Number of classes.
    #[config(default = 2)]
    pub num_labels: usize,
    /// Longest sequence the model was made for.
    #[config(default = 512)]
    pub max_position_embeddings: usize,
    /// Whether absolute positions are added to the embeddings.
    #[config(default = false)]
    pub position_biased_input: bool,
    /// Number of token types, zero for none.
    #[config(default = 0)]
    pub type_vocab_size: usize,
    /// Whether attention has relative positions at all.
    #[config(default = true)]
    pub relative_attention: bool,
    /// Number of logarithmic buckets; `None` gives every distance its own.
    #[config(default = "Some(256)")]
    pub position_buckets: Option<usize>,
    /// Largest distance; `None` is `max_position_embeddings`.
    pub max_relative_positions: Option<usize>,
    /// The terms that relative positions add to the scores.
    #[config(default = "vec![PositionTerm::PositionToContent, PositionTerm::ContentToPosition]")]
    pub pos_att_type: Vec<PositionTerm>,
    /// Whether positions use the projections of the content.
    #[config(default = true)]
    pub share_att_key: bool,
    /// Whether the relative embeddings are normalized.
    #[config(default = true)]
    pub norm_rel_ebd: bool,
    /// Added to the variance in norms.
    #[config(default = 1e-7)]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer.
    #[config(default = "Activation::Gelu")]
    pub hidden_act: Activation,
    /// Activation of the pooler.
    #[config(default = "Activation::Gelu")]
    pub pooler_hidden_act: Activation,
    /// Probability that a hidden value is dropped, in passes with dropout.
    #[config(default = 0.1)]
    pub hidden_dropout_prob: f64,
    /// Probability that an attention weight is dropped.
    #[config(default = 0.1)]
    pub attention_probs_dropout_prob: f64,
    /// Probability that a value that enters the pooler is dropped.
    #[config(default = 0.0)]
    pub pooler_dropout: f64,
    /// Probability that a value that enters the classifier is dropped; `None` is `hidden_dropout_prob`.
    pub cls_dropout: Option<f64>,
    /// Standard deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl DebertaConfig {
    /// Returns the shape of `microsoft/deberta-v3-base`, with two classes.
    pub fn deberta_v3_base() -> Self {
        Self::new()
    }

    /// Returns the shape of `microsoft/deberta-v3-large`, with two classes.
    pub fn deberta_v3_large() -> Self {
        Self::new()
            .with_hidden_size(1024)
            .with_intermediate_size(4096)
            .with_num_hidden_layers(24)
            .with_num_attention_heads(16)
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    ///
    /// Fails, naming the field, if a size is zero, the width is no multiple of the heads, or a dropout is not a
    /// probability below 1.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        check_multiple(
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
        )?;
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_labels", self.num_labels),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        check_layers(self.num_hidden_layers)?;
        check_dropout(&[
            self.hidden_dropout_prob,
            self.attention_probs_dropout_prob,
            self.pooler_dropout,
            self.cls_dropout.unwrap_or(0.0),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_pass_the_check() {
        DebertaConfig::deberta_v3_base().check().unwrap();
        DebertaConfig::deberta_v3_large().check().unwrap();
        let error = DebertaConfig::deberta_v3_base()
            .with_num_attention_heads(7)
            .check();
        assert_eq!(
            error.unwrap_err().to_string(),
            "hidden_size is 768, no multiple of num_attention_heads, 7"
        );
    }

    #[test]
    fn a_config_is_written_with_the_names_of_hugging_face_and_read_back() {
        let config = DebertaConfig::deberta_v3_large()
            .with_hidden_act(Activation::GeluNew)
            .with_pos_att_type(vec![PositionTerm::ContentToPosition]);
        let json = config.to_string();
        assert!(
            json.contains("\"gelu_new\"") && json.contains("\"c2p\""),
            "{json}"
        );
        assert_eq!(DebertaConfig::load_binary(json.as_bytes()).unwrap(), config);
        let misspelt = json.replace("c2p", "c2q");
        assert!(DebertaConfig::load_binary(misspelt.as_bytes()).is_err());
    }
}
