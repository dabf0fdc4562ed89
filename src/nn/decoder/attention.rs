//! The attention of a decoder's layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::kernels::ops::{self, NormScale, Scores, SharedPrompt};
use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::config::{DecoderConfig, KeysAndValues, LayerType};
use crate::nn::decoder::pass::{Carried, Pass, Sight};
use crate::nn::layers::attention::Attend;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::RmsNorm;

#[derive(Module, Debug)]
pub(super) struct Attention {
    pub(super) q_proj: Linear,
    pub(super) q_norm: Option<RmsNorm>,
    /// None if keys and values are those of an earlier layer.
    pub(super) keys: Option<Keys>,
    pub(super) o_proj: Linear,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    scale: f64,
    softcap: Option<f64>,
    /// How many tokens it sees, if not all.
    window: Option<usize>,
    /// Whether later layers use keys and values of this one.
    pub(super) lends: bool,
}

/// What makes keys and values.
#[derive(Module, Debug)]
pub(super) struct Keys {
    pub(super) k_proj: Linear,
    /// None if the keys are the values, too.
    pub(super) v_proj: Option<Linear>,
    pub(super) k_norm: Option<RmsNorm>,
    /// What is added to the mean square of a value, if values are normalized.
    v_norm_eps: Option<f64>,
}

impl Attention {
    pub(super) fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let (shape, heads) = (config.layer(layer_idx), config.num_attention_heads);
        let (kv_heads, head_dim) = (shape.kv_heads, shape.head_dim);
        let linear = |input, output, bias| {
            Linear::new(input, output, bias, config.initializer_range, device)
        };
        let project = |heads| linear(config.hidden_size, heads * head_dim, config.qkv_bias);
        let norm = || config.qk_norm.then(|| config.norm(head_dim, device));
        let keys = || Keys {
            k_proj: project(kv_heads),
            v_proj: (shape.keys_and_values == KeysAndValues::Own).then(|| project(kv_heads)),
            k_norm: norm(),
            v_norm_eps: config.v_norm.then_some(config.rms_norm_eps),
        };
        Self {
            q_proj: project(heads),
            q_norm: norm(),
            keys: (shape.keys_and_values != KeysAndValues::Shared).then(keys),
            o_proj: linear(heads * head_dim, config.hidden_size, config.output_bias),
            heads,
            kv_heads,
            head_dim,
            scale: config.attention_scale(head_dim),
            softcap: config.attn_logit_softcapping,
            window: (shape.layer_type == LayerType::SlidingAttention)
                .then_some(config.sliding_window),
            lends: config.lends(layer_idx),
        }
    }

    /// The type of the layer that it belongs to.
    pub(super) fn layer_type(&self) -> LayerType {
        match self.window {
            Some(_) => LayerType::SlidingAttention,
            None => LayerType::FullAttention,
        }
    }

    /// Whether the kernels for one new token can run it: no norms of queries, keys and values, no cap, no window, the usual scale,
    /// and keys of its own that no other layer uses.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(super) fn is_plain(&self) -> bool {
        let has_own = |keys: &Keys| keys.k_norm.is_none() && keys.v_norm_eps.is_none();
        self.q_norm.is_none()
            && self.keys.as_ref().is_some_and(has_own)
            && self.scale == (self.head_dim as f64).powf(-0.5)
            && self.softcap.is_none()
            && self.window.is_none()
            && !self.lends
    }

    /// Computes the output of the heads, before `o_proj`.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, seq, heads · head_dim]`
    pub(super) fn forward(
        &self,
        hidden: Tensor<3>,
        pass: &Pass,
        carried: &mut Carried,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor<3> {
        let layer_type = self.layer_type();
        let Sight { rope, mask } = pass.sight(layer_type);
        let [batch, seq, _] = hidden.dims();
        let normed = |x: Tensor<3>, norm: &Option<RmsNorm>, heads| match norm {
            Some(norm) => norm.forward_heads(x, heads),
            None => x,
        };
        let query = normed(
            self.q_proj.forward(hidden.clone()),
            &self.q_norm,
            self.heads,
        );
        let query = rope.split(query, self.heads);
        let shared = &mut carried[layer_type as usize];
        let ([key, value], cache) = match (&self.keys, cache) {
            (None, cache) => {
                let lent = shared.clone();
                let lent = lent.expect("a layer that uses another's keys comes behind it");
                (lent, cache.map(|(_, cache)| &*cache))
            }
            (Some(keys), cache) => {
                let key = keys.k_proj.forward(hidden.clone());
                let value = match &keys.v_proj {
                    Some(v_proj) => v_proj.forward(hidden),
                    None => key.clone(),
                };
                let key = rope.split(normed(key, &keys.k_norm, self.kv_heads), self.kv_heads);
                let own = [key, self.split_values(value, keys.v_norm_eps)];
                match cache {
                    Some((layer_idx, cache)) => {
                        let seen = cache.append(layer_idx, own, self.window);
                        (seen, Some(&*cache))
                    }
                    None => (own, None),
                }
            }
        };
        if self.lends {
            *shared = Some([key.clone(), value.clone()]);
        }
        // A layer with a window has only the last columns in the cache: the mask is cut to them.
        let ([_, _, _, columns], [_, _, keys, _]) = (mask.dims(), key.dims());
        let missing = columns - keys;
        let mask = match missing {
            0 => mask.clone(),
            missing => mask.clone().narrow(3, missing, keys),
        };
        let input = Attend {
            query,
            key,
            value,
            mask,
        };
        let scores = Scores {
            scale: self.scale,
            softcap: self.softcap,
        };
        let output = ops::attention(input, scores, || match cache {
            Some(cache) => cache.prompts(missing),
            None => (0..batch).map(SharedPrompt::none).collect(),
        });
        output
            .swap_dims(1, 2)
            .reshape([batch, seq, self.heads * self.head_dim])
    }

    /// Splits values into heads and normalizes each without a weight if `eps` is given.
    ///
    /// # Shapes
    ///
    /// - values: `[batch, seq, kv_heads · head_dim]`
    /// - output: `[batch, kv_heads, seq, head_dim]`
    fn split_values(&self, values: Tensor<3>, eps: Option<f64>) -> Tensor<4> {
        let [batch, seq, _] = values.dims();
        let (heads, head_dim) = (self.kv_heads, self.head_dim);
        let values = match eps {
            Some(eps) => {
                let none = Tensor::zeros([head_dim], (&values.device(), values.dtype()));
                let values = values.reshape([batch, seq * heads, head_dim]);
                ops::rms_norm(values, none, NormScale::OnePlusWeight, eps)
            }
            None => values,
        };
        values
            .reshape([batch, seq, heads, head_dim])
            .swap_dims(1, 2)
    }
}
