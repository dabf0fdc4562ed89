//! A linear layer in Hugging Face's layout, with optional LoRA.

use burn::module::{Initializer, Module};
use burn::tensor::{DType, Device, Tensor, assert_shape};

use crate::kernels::ops::add_bias;
use crate::kernels::ops::panels::PanelLayer;
use crate::nn::layers::lora::{Lora, LoraConfig};
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// `y = x·Wᵀ + bias`, plus the low-rank path when there is one.
///
/// The weight stays as checkpoints store it, `[out_features, in_features]`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Weight<2>,
    bias: Option<Weight<1>>,
    lora: Option<Lora>,
}

impl Linear {
    /// Makes a layer; its weight is drawn from a normal distribution with standard deviation `std`, a bias starts at zero.
    pub fn new(
        in_features: usize,
        out_features: usize,
        bias: bool,
        std: f64,
        device: &Device,
    ) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        Self {
            weight: Weight::init(&normal, [out_features, in_features], device),
            bias: bias.then(|| Weight::init(&Initializer::Zeros, [out_features], device)),
            lora: None,
        }
    }

    /// The shape of the weight, `[out_features, in_features]`.
    pub fn shape(&self) -> [usize; 2] {
        self.weight.shape()
    }

    /// Whether the weight is stored in four bits a value.
    pub fn is_quantized(&self) -> bool {
        self.weight.is_quantized()
    }

    /// The weight and the bias, if both are dense constants and there are no low-rank factors.
    pub(crate) fn dense(&self) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let weight = self.weight.as_dense().filter(|_| self.lora.is_none())?;
        let bias = match &self.bias {
            Some(bias) => Some(bias.as_dense()?.clone()),
            None => None,
        };
        Some((weight.clone(), bias))
    }

    /// The layer with its weight in bf16, if that is dense f32 on the CPU; its low-rank factors stay as they are.
    pub(crate) fn to_bf16(&self) -> Option<Self> {
        let weight = self.weight.to_bf16()?;
        Some(Self {
            weight,
            ..self.clone()
        })
    }

    /// Keeps the weight in panels, if it is frozen and dense f32 on the CPU.
    pub(crate) fn keep_in_panels(&mut self) {
        if let Some(weight) = self.weight.to_panels() {
            self.weight = weight;
        }
    }

    /// The weight's panels and the bias, if the layer has both and no low-rank factors.
    pub(crate) fn panels(&self) -> Option<PanelLayer> {
        let weight = self.weight.as_panels().filter(|_| self.lora.is_none())?;
        Some(weight.with_bias(self.bias.as_ref()?.val()))
    }

    /// Adds fresh low-rank factors, in place of any there were; they are drawn now.
    pub fn add_lora(&mut self, config: &LoraConfig, device: &Device) {
        let [out_features, in_features] = self.weight.shape();
        self.lora = Some(config.init(out_features, in_features, device));
    }

    /// Adds the product of the low-rank factors to the weight and drops them, if the weight is a dense f32 constant.
    pub(crate) fn merge_lora(&mut self) {
        if let (Some(weight), Some(lora)) = (self.weight.as_dense(), &self.lora)
            && weight.dtype() == DType::F32
        {
            self.weight = Weight::frozen(lora.merged(weight.clone()));
            self.lora = None;
        }
    }

    /// The low-rank factors, if any.
    pub fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    /// The low-rank factors, to be replaced or removed.
    pub fn lora_mut(&mut self) -> &mut Option<Lora> {
        &mut self.lora
    }

    /// Applies the layer to the last dimension.
    ///
    /// # Shapes
    ///
    /// - x: `[.., in_features]`
    /// - output: `[.., out_features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [out_features, in_features] = self.weight.shape();
        assert_shape!(x, [.., in_features]);
        let mut shape = x.dims();
        shape[D - 1] = out_features;
        let x = x.reshape([-1, in_features as i32]); // [rows, in_features]
        let bias = self.bias.as_ref().map(Weight::val);
        let y = match (&self.lora, bias) {
            (None, bias) => self.weight.linear(x, bias),
            (Some(lora), Some(bias)) => add_bias(lora.linear(x, &self.weight), bias),
            (Some(lora), None) => lora.linear(x, &self.weight),
        };
        y.reshape(shape)
    }
}

impl Weights for Linear {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        visit(&join(prefix, "weight"), WeightMut::Matrix(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            visit(&join(prefix, "bias"), WeightMut::Vector(bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn fresh_factors_change_nothing_and_later_equal_the_dense_product() {
        let device = Device::default();
        device.seed(7);
        let mut linear = Linear::new(6, 4, true, 0.5, &device);
        let x = Tensor::<3>::random([2, 3, 6], Distribution::Normal(0.0, 1.0), &device);
        let plain = linear.forward(x.clone());
        linear.add_lora(&LoraConfig::new(2, 3.0), &device);
        let fresh = linear.forward(x.clone()).without_autodiff();
        fresh
            .into_data()
            .assert_eq(&plain.clone().into_data(), true);

        let b = Tensor::<2>::random([4, 2], Distribution::Normal(0.0, 1.0), &device);
        if let Some(lora) = linear.lora_mut() {
            lora.lora_b = lora.lora_b.clone().map(|_| b.clone().autodiff());
        }
        let lora = linear.lora().expect("factors were added").clone();
        let dense = b.matmul(lora.lora_a.val().without_autodiff()) * 1.5;
        let expected = plain + x.clone().matmul(dense.transpose().unsqueeze());
        let got = linear.forward(x).without_autodiff();
        got.into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}
