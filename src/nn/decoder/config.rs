//! The shape of a decoder.

use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Device;

use crate::kernels::ops::NormScale;
use crate::nn::config::{InvalidConfig, check_layers, check_multiple, check_sizes};
use crate::nn::layers::activation::Activation;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::rope::RopeParameters;

/// What the attention of a layer sees, by the names of `config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "snake_case")]
pub enum LayerType {
    /// All tokens before it.
    #[default]
    FullAttention,
    /// The last `sliding_window` tokens, itself among them.
    SlidingAttention,
}

/// The shape of a decoder: a Gemma 1 to 4, Llama, Mistral, Qwen2, Qwen3 or a model that is built like one of them.
///
/// Fields have the names of `config.json` where it has them. As in transformers' `GemmaConfig`, [`DecoderConfig::new`] is
/// Gemma's 7b; the functions named for models return theirs, and each field has a `with_` method. `save` and `load` of
/// burn's [`Config`] keep it as JSON.
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
pub struct DecoderConfig {
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
    /// Width of a head, which need not be `hidden_size / num_attention_heads`; even, as rotary positions pair its halves.
    #[config(default = 256)]
    pub head_dim: usize,
    /// Added to the mean square in norms.
    #[config(default = 1e-6)]
    pub rms_norm_eps: f64,
    /// The rotary angles of layers that see everything, and of the others if they have none of their own.
    #[config(default = "RopeParameters::new(10_000.0)")]
    pub rope_parameters: RopeParameters,
    /// The rotary angles of sliding layers, if they differ.
    #[config(default = "None")]
    pub sliding_rope_parameters: Option<RopeParameters>,
    /// Longest sequence the model was made for, in tokens.
    #[config(default = 8192)]
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding table.
    #[config(default = true)]
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
    /// The activation of the gate: the tanh form of GELU, or SiLU.
    #[config(default = "Activation::GeluPytorchTanh")]
    pub hidden_act: Activation,
    /// What norms multiply by.
    #[config(default = "NormScale::OnePlusWeight")]
    pub norm_scale: NormScale,
    /// Whether the outputs of attention and of the feed-forward network have norms of their own, before they are added.
    #[config(default = false)]
    pub post_norms: bool,
    /// Whether queries and keys are normalized, each head by itself.
    #[config(default = false)]
    pub qk_norm: bool,
    /// Whether values are normalized within each head, without a weight.
    #[config(default = false)]
    pub v_norm: bool,
    /// Whether embeddings are multiplied by the square root of `hidden_size`.
    #[config(default = true)]
    pub scale_embeddings: bool,
    /// Scores are multiplied by this to the power of −1/2; by default `head_dim`.
    #[config(default = "None")]
    pub query_pre_attn_scalar: Option<f64>,
    /// Caps the scores of attention at plus and minus this, by a tanh.
    #[config(default = "None")]
    pub attn_logit_softcapping: Option<f64>,
    /// Caps the logits in the same way.
    #[config(default = "None")]
    pub final_logit_softcapping: Option<f64>,
    /// What each layer sees; if empty, every layer sees everything.
    #[config(default = "Vec::new()")]
    pub layer_types: Vec<LayerType>,
    /// How many tokens a sliding layer sees.
    #[config(default = 4096)]
    pub sliding_window: usize,
    /// Width of a head in layers that see everything, if it differs.
    #[config(default = "None")]
    pub global_head_dim: Option<usize>,
    /// Key and value heads of layers that see everything, if their number differs.
    #[config(default = "None")]
    pub num_global_key_value_heads: Option<usize>,
    /// Whether layers that see everything take the projection of keys for values, too, before norm and angles.
    #[config(default = false)]
    pub attention_k_eq_v: bool,
    /// How many of the last layers use keys and values of the last layer of their type before them.
    #[config(default = 0)]
    pub num_kv_shared_layers: usize,
    /// Whether the feed-forward network of those layers is twice as wide.
    #[config(default = false)]
    pub use_double_wide_mlp: bool,
    /// Whether the output of each layer is multiplied by a number of its own.
    #[config(default = false)]
    pub layer_scalar: bool,
    /// Token ids that have embeddings for each layer.
    #[config(default = 262_144)]
    pub vocab_size_per_layer_input: usize,
    /// Width of a token's embedding for each layer; 0 if there are none.
    #[config(default = 0)]
    pub hidden_size_per_layer_input: usize,
    /// Whether the projections to queries, keys and values have biases.
    #[config(default = false)]
    pub qkv_bias: bool,
    /// Whether the projection of attention's output has a bias.
    #[config(default = false)]
    pub output_bias: bool,
    /// Whether the projections of the feed-forward network have biases.
    #[config(default = false)]
    pub mlp_bias: bool,
}

/// Where a layer's keys and values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeysAndValues {
    /// A projection for each.
    Own,
    /// One projection for both.
    OneProjection,
    /// Those of an earlier layer.
    Shared,
}

/// The shape of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerShape {
    pub(crate) layer_type: LayerType,
    pub(crate) head_dim: usize,
    pub(crate) kv_heads: usize,
    pub(crate) keys_and_values: KeysAndValues,
    pub(crate) intermediate_size: usize,
}

impl DecoderConfig {
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

    /// Returns a small shape with every part that a decoder may have: windows, norms everywhere, caps, keys and values that
    /// layers share or take for each other, and embeddings for each layer.
    #[cfg(test)]
    pub(crate) fn small_with_all_parts() -> Self {
        let [full, sliding] = [LayerType::FullAttention, LayerType::SlidingAttention];
        Self {
            norm_scale: NormScale::Weight,
            attn_logit_softcapping: Some(4.0),
            final_logit_softcapping: Some(2.0),
            ..Self::gemma_4()
        }
        .with_vocab_size(40)
        .with_hidden_size(16)
        .with_intermediate_size(32)
        .with_num_hidden_layers(6)
        .with_num_attention_heads(4)
        .with_num_key_value_heads(2)
        .with_head_dim(8)
        .with_global_head_dim(Some(16))
        .with_num_global_key_value_heads(Some(1))
        .with_attention_k_eq_v(true)
        .with_layer_types(vec![sliding, full, sliding, sliding, full, sliding])
        .with_sliding_window(3)
        .with_num_kv_shared_layers(2)
        .with_use_double_wide_mlp(true)
        .with_vocab_size_per_layer_input(40)
        .with_hidden_size_per_layer_input(4)
        .with_initializer_range(0.3)
    }

    /// A norm over the last `size` numbers, as all of the model's are.
    pub(super) fn norm(&self, size: usize, device: &Device) -> RmsNorm {
        RmsNorm::new(size, self.norm_scale, self.rms_norm_eps, device)
    }

    /// What a layer sees.
    pub(crate) fn layer_type(&self, layer_idx: usize) -> LayerType {
        self.layer_types.get(layer_idx).copied().unwrap_or_default()
    }

    /// The first layer that uses keys and values of another.
    fn first_shared(&self) -> usize {
        self.num_hidden_layers
            .saturating_sub(self.num_kv_shared_layers)
    }

    /// Whether a layer uses keys and values of another.
    pub(crate) fn borrows(&self, layer_idx: usize) -> bool {
        layer_idx >= self.first_shared()
    }

    /// Whether later layers use the keys and values of this one.
    pub(crate) fn lends(&self, layer_idx: usize) -> bool {
        let first_shared = self.first_shared();
        let is_like = |other: usize| self.layer_type(other) == self.layer_type(layer_idx);
        layer_idx < first_shared
            && !(layer_idx + 1..first_shared).any(is_like)
            && (first_shared..self.num_hidden_layers).any(is_like)
    }

    /// The shape of a layer.
    pub(crate) fn layer(&self, layer_idx: usize) -> LayerShape {
        let layer_type = self.layer_type(layer_idx);
        let is_global = layer_type == LayerType::FullAttention;
        let borrows = self.borrows(layer_idx);
        let wide = if self.use_double_wide_mlp && borrows {
            2
        } else {
            1
        };
        let global = |own: Option<usize>, usual| own.filter(|_| is_global).unwrap_or(usual);
        LayerShape {
            layer_type,
            head_dim: global(self.global_head_dim, self.head_dim),
            kv_heads: global(self.num_global_key_value_heads, self.num_key_value_heads),
            keys_and_values: match (borrows, self.attention_k_eq_v && is_global) {
                (true, _) => KeysAndValues::Shared,
                (false, true) => KeysAndValues::OneProjection,
                (false, false) => KeysAndValues::Own,
            },
            intermediate_size: self.intermediate_size.saturating_mul(wide),
        }
    }

    /// The rotary angles of layers of a type.
    pub(crate) fn rope(&self, layer_type: LayerType) -> &RopeParameters {
        match (layer_type, &self.sliding_rope_parameters) {
            (LayerType::SlidingAttention, Some(rope)) => rope,
            _ => &self.rope_parameters,
        }
    }

    /// What scores of attention are multiplied by.
    pub(crate) fn attention_scale(&self, head_dim: usize) -> f64 {
        self.query_pre_attn_scalar
            .unwrap_or(head_dim as f64)
            .powf(-0.5)
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    ///
    /// Fails, naming the field, on sizes that are zero or do not go together, and on numbers that nothing can be computed with.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let invalid = |reason: String| Err(InvalidConfig::new(reason));
        check_layers(self.num_hidden_layers)?;
        let heads = ("num_attention_heads", self.num_attention_heads);
        check_multiple(heads, ("num_key_value_heads", self.num_key_value_heads))?;
        if let Some(global) = self.num_global_key_value_heads {
            check_multiple(heads, ("num_global_key_value_heads", global))?;
        }
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("head_dim", self.head_dim),
            ("global_head_dim", self.global_head_dim.unwrap_or(1)),
            ("sliding_window", self.sliding_window),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        let head_dims = [
            ("head_dim", Some(self.head_dim)),
            ("global_head_dim", self.global_head_dim),
        ];
        for (name, head_dim) in head_dims {
            if let Some(head_dim) = head_dim.filter(|head_dim| !head_dim.is_multiple_of(2)) {
                return invalid(format!("{name} is {head_dim}, but must be even"));
            }
        }
        let n_types = self.layer_types.len();
        if n_types > 0 && n_types != self.num_hidden_layers {
            return invalid(format!(
                "layer_types names {n_types} layers, but num_hidden_layers is {}",
                self.num_hidden_layers
            ));
        }
        let first_shared = self.first_shared();
        if first_shared == 0 {
            return invalid(format!(
                "num_kv_shared_layers is {}, but must be below num_hidden_layers, {}",
                self.num_kv_shared_layers, self.num_hidden_layers
            ));
        }
        for layer_idx in first_shared..self.num_hidden_layers {
            let layer_type = self.layer_type(layer_idx);
            if !(0..first_shared).any(|other| self.layer_type(other) == layer_type) {
                return invalid(format!(
                    "num_kv_shared_layers is {}, but no layer before layer {first_shared} has the type of layer {layer_idx}, \
                     which would use its keys and values",
                    self.num_kv_shared_layers
                ));
            }
        }
        let rows = self.vocab_size_per_layer_input;
        if self.hidden_size_per_layer_input > 0 && rows < self.vocab_size {
            return invalid(format!(
                "vocab_size_per_layer_input is {rows}, but must be at least vocab_size, {}",
                self.vocab_size
            ));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            let eps = self.rms_norm_eps;
            return invalid(format!("rms_norm_eps is {eps}, but must be at least 0"));
        }
        if self.hidden_act.gate().is_none() {
            return invalid(format!(
                "hidden_act is {}, but only the tanh form of GELU and SiLU are supported",
                self.hidden_act.name()
            ));
        }
        let numbers = [
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ];
        for (name, number) in numbers {
            if let Some(number) = number.filter(|number| !(number.is_finite() && *number > 0.0)) {
                return invalid(format!(
                    "{name} is {number}, but must be a finite number above 0"
                ));
            }
        }
        self.rope_parameters.check()?;
        self.sliding_rope_parameters
            .as_ref()
            .map_or(Ok(()), RopeParameters::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_no_model_can_have_is_told_by_its_field() {
        let told = |config: DecoderConfig| config.check().unwrap_err().to_string();
        let config = DecoderConfig::gemma_2b();
        let sliding = [LayerType::SlidingAttention; 18];
        for (config, expected) in [
            (
                config.clone().with_num_key_value_heads(3),
                "num_attention_heads is 8, no multiple of num_key_value_heads, 3",
            ),
            (
                config.clone().with_num_global_key_value_heads(Some(3)),
                "num_attention_heads is 8, no multiple of num_global_key_value_heads, 3",
            ),
            (
                config.clone().with_num_hidden_layers(0),
                "num_hidden_layers is 0, but must be at least 1",
            ),
            (
                config.clone().with_head_dim(7),
                "head_dim is 7, but must be even",
            ),
            (
                config.clone().with_global_head_dim(Some(9)),
                "global_head_dim is 9, but must be even",
            ),
            (
                config.clone().with_layer_types(sliding[1..].to_vec()),
                "layer_types names 17 layers, but num_hidden_layers is 18",
            ),
            (
                config
                    .clone()
                    .with_layer_types([&sliding[1..], &[LayerType::FullAttention]].concat())
                    .with_num_kv_shared_layers(2),
                "num_kv_shared_layers is 2, but no layer before layer 16 has the type of layer 17, which would use its keys and values",
            ),
            (
                config.clone().with_hidden_act(Activation::Relu),
                "hidden_act is relu, but only the tanh form of GELU and SiLU are supported",
            ),
            (
                config.clone().with_final_logit_softcapping(Some(0.0)),
                "final_logit_softcapping is 0, but must be a finite number above 0",
            ),
            (
                config.with_rope_parameters(RopeParameters::new(f64::NAN)),
                "rope_theta is NaN, but must be a finite number above 0",
            ),
        ] {
            assert_eq!(told(config), expected);
        }
    }

    #[test]
    fn the_last_layers_use_keys_and_values_of_the_last_one_like_them() {
        let [full, sliding] = [LayerType::FullAttention, LayerType::SlidingAttention];
        let config = DecoderConfig::small()
            .with_num_hidden_layers(6)
            .with_layer_types(vec![sliding, sliding, full, sliding, full, sliding])
            .with_num_kv_shared_layers(2)
            .with_use_double_wide_mlp(true);
        config.check().unwrap();
        let shared: Vec<bool> = (0..6).map(|layer_idx| config.lends(layer_idx)).collect();
        assert_eq!(shared, [false, false, true, true, false, false]);
        let widths = [3, 4].map(|layer_idx| config.layer(layer_idx).intermediate_size);
        assert_eq!(widths, [32, 64]);
        assert_eq!(config.layer(4).keys_and_values, KeysAndValues::Shared);
    }

    #[test]
    fn a_config_is_the_same_after_saving_and_loading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for config in [
            DecoderConfig::gemma_2b().with_rope_parameters(RopeParameters::new(5000.0)),
            DecoderConfig::gemma_4_e2b(),
            DecoderConfig::llama_3_1_8b(),
        ] {
            config.save(&path).unwrap();
            assert_eq!(DecoderConfig::load(&path).unwrap(), config);
        }
    }
}
