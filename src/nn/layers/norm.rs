//! The RMS norm of decoders and the layer norm of BERT-like models.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Tensor};

use crate::kernels::ops;
pub use crate::kernels::ops::NormScale;
use crate::kernels::ops::panels::NormParameters;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// Root-mean-square norm: `x · rsqrt(mean(x²) + eps)` in f32, times a scale that [`NormScale`] tells.
#[derive(Module, Debug)]
pub struct RmsNorm {
    weight: Weight<1>,
    #[module(skip)]
    scale: NormScale,
    eps: f64,
}

impl RmsNorm {
    /// Makes a norm over `hidden_size` numbers with a scale of one.
    pub fn new(hidden_size: usize, scale: NormScale, eps: f64, device: &Device) -> Self {
        let one = match scale {
            NormScale::OnePlusWeight => Initializer::Zeros,
            NormScale::Weight | NormScale::WeightAfterCast => Initializer::Ones,
        };
        Self {
            weight: Weight::init(&one, [hidden_size], device),
            scale,
            eps,
        }
    }

    /// The size of the normalized axis.
    pub(crate) fn num_weights(&self) -> usize {
        let [hidden_size] = self.weight.shape();
        hidden_size
    }

    /// The weight.
    pub(crate) fn value(&self) -> Tensor<1> {
        self.weight.val()
    }

    /// Normalizes over the last dimension.
    ///
    /// # Shapes
    ///
    /// - x and output: `[batch, seq, hidden_size]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::rms_norm(x, self.weight.val(), self.scale, self.eps)
    }

    /// Normalizes each head.
    ///
    /// # Shapes
    ///
    /// - x and output: `[batch, seq, heads · head_dim]`
    pub(crate) fn forward_heads(&self, x: Tensor<3>, heads: usize) -> Tensor<3> {
        let [batch, seq, width] = x.dims();
        let heads = x.reshape([batch, seq * heads, width / heads]);
        self.forward(heads).reshape([batch, seq, width])
    }

    /// The scale minus one, and the epsilon added to the mean square; `None` unless the scale is `1 + weight`.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) fn parts(&self) -> Option<(Tensor<1>, f64)> {
        (self.scale == NormScale::OnePlusWeight).then(|| (self.weight.val(), self.eps))
    }
}

impl Weights for RmsNorm {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        visit(&join(prefix, "weight"), WeightMut::Vector(&mut self.weight));
    }
}

/// Layer norm with scale and shift.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Weight<1>,
    bias: Weight<1>,
    eps: f64,
}

impl LayerNorm {
    /// A norm over `hidden_size` numbers, scale one and shift zero.
    pub fn new(hidden_size: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Weight::init(&Initializer::Ones, [hidden_size], device),
            bias: Weight::init(&Initializer::Zeros, [hidden_size], device),
            eps,
        }
    }

    /// The shape of the scale.
    pub(crate) fn dims(&self) -> [usize; 1] {
        self.weight.shape()
    }

    /// Returns the values of the parameters.
    pub(crate) fn parameters(&self) -> NormParameters {
        NormParameters {
            scale: self.weight.val(),
            shift: self.bias.val(),
            eps: self.eps,
        }
    }

    /// Normalizes over the last dimension.
    ///
    /// # Shapes
    ///
    /// - x and output: `[.., hidden_size]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.eps)
    }
}

impl Weights for LayerNorm {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        visit(&join(prefix, "weight"), WeightMut::Vector(&mut self.weight));
        visit(&join(prefix, "bias"), WeightMut::Vector(&mut self.bias));
    }
}
