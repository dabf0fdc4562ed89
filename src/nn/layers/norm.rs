//! Gemma's RMS norm and the layer norm of BERT-like models.

use burn::module::{Initializer, Module};
use burn::tensor::{DType, Device, Tensor, module};

use crate::kernels;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// Root-mean-square norm as Gemma has it: `x · rsqrt(mean(x²) + eps) · (1 + weight)`, in f32, cast back at the end.
///
/// Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/gemma/modeling_gemma.py>, `GemmaRMSNorm`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    weight: Weight<1>,
    eps: f64,
}

impl RmsNorm {
    /// A norm over `hidden_size` numbers whose scale is one.
    pub fn new(hidden_size: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Weight::init(&Initializer::Zeros, [hidden_size], device),
            eps,
        }
    }

    /// How many numbers the scale holds.
    pub(crate) fn num_weights(&self) -> usize {
        let [hidden_size] = self.weight.shape();
        hidden_size
    }

    /// Normalizes over the last dimension.
    ///
    /// # Shapes
    ///
    /// - x and output: `[batch, seq, hidden_size]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let weight = self.weight.val();
        if kernels::serves(&x) && kernels::serves(&weight) {
            kernels::rms_norm(x, weight, self.eps)
        } else {
            self.normalize(x, weight)
        }
    }

    /// The scale less one, and what is added to the mean square.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) fn parts(&self) -> (Tensor<1>, f64) {
        (self.weight.val(), self.eps)
    }

    fn normalize(&self, x: Tensor<3>, weight: Tensor<1>) -> Tensor<3> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let rms = (x.clone().square().mean_dim(2) + self.eps).sqrt().recip();
        let scale = weight.cast(DType::F32) + 1.0;
        (x * rms * scale.unsqueeze()).cast(dtype)
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

    /// Scale and shift, and what is added to the variance.
    pub(crate) fn parts(&self) -> ([Tensor<1>; 2], f64) {
        ([self.weight.val(), self.bias.val()], self.eps)
    }

    /// Normalizes over the last dimension.
    ///
    /// # Shapes
    ///
    /// - x and output: `[.., hidden_size]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if kernels::serves(&x) && kernels::serves(&weight) {
            kernels::layer_norm(x, weight, bias, self.eps)
        } else {
            module::layer_norm(x, weight, Some(bias), self.eps)
        }
    }
}

impl Weights for LayerNorm {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        visit(&join(prefix, "weight"), WeightMut::Vector(&mut self.weight));
        visit(&join(prefix, "bias"), WeightMut::Vector(&mut self.bias));
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use kernels::testing::assert_same;

    #[test]
    fn norms_in_one_pass_are_the_plain_ones() {
        for shape in [[1, 1, 1], [2, 3, 19], [1, 5, 64], [3, 40, 300]] {
            let [_, _, size] = shape;
            let all = shape.iter().product();
            let norm = RmsNorm::new(size, 1e-6, &Device::default());
            assert_same(
                "rms norm",
                [all, size],
                |[x, weight]| kernels::rms_norm(x.reshape(shape), weight, norm.eps).flatten(0, 2),
                |[x, weight]| norm.normalize(x.reshape(shape), weight).flatten(0, 2),
            );
            assert_same(
                "layer norm",
                [all, size, size],
                |[x, weight, bias]| {
                    kernels::layer_norm(x.reshape(shape), weight, bias, 1e-3).flatten(0, 2)
                },
                |[x, weight, bias]| {
                    let x: Tensor<3> = x.reshape(shape);
                    let x = x.clone() - x.mean_dim(2);
                    let variance = x.clone().square().mean_dim(2);
                    let normed = x / (variance + 1e-3).sqrt();
                    (normed * weight.unsqueeze() + bias.unsqueeze()).flatten(0, 2)
                },
            );
        }
    }
}
