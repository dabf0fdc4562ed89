//! Activation functions by Hugging Face's names.

use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Tensor, activation};

use crate::kernels;

/// An activation function, by the name it has in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// `gelu`: with the error function.
    Gelu,
    /// `gelu_new`: the tanh form.
    GeluNew,
    /// `gelu_pytorch_tanh`: the tanh form, too.
    GeluPytorchTanh,
    /// `relu`.
    Relu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    const ALL: [Self; 5] = [
        Self::Gelu,
        Self::GeluNew,
        Self::GeluPytorchTanh,
        Self::Relu,
        Self::Tanh,
    ];

    /// Returns the function of that name, if this crate has it.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |activation: &Self| activation.name() == name;
        Self::ALL.into_iter().find(named)
    }

    /// Returns the name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluNew => "gelu_new",
            Self::GeluPytorchTanh => "gelu_pytorch_tanh",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
        }
    }

    /// Applies the function to each element; the output has the shape of `x`.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu if kernels::serves(&x) => kernels::gelu(x),
            Self::Gelu => gelu(x),
            Self::GeluNew | Self::GeluPytorchTanh => gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Tanh => x.tanh(),
        }
    }
}

/// GELU in the tanh form of Hendrycks and Gimpel (arXiv 1606.08415), as PyTorch's `gelu(approximate="tanh")`.
///
/// `0.5·(1 + tanh u)` equals `sigmoid(2u)`, which costs one exponential instead of a hyperbolic tangent and a power.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const TWO_SQRT_2_OVER_PI: f64 =
        2.0 * core::f64::consts::FRAC_2_SQRT_PI * core::f64::consts::FRAC_1_SQRT_2;
    let cubic = x.clone() * x.clone() * (0.044715 * TWO_SQRT_2_OVER_PI) + TWO_SQRT_2_OVER_PI;
    x.clone() * activation::sigmoid(x * cubic)
}

/// `gelu_tanh(gate) · up`, the middle of Gemma's feed-forward network.
pub(crate) fn gated_gelu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if kernels::serves(&gate) {
        kernels::gated_gelu(gate, up)
    } else {
        gelu_tanh(gate) * up
    }
}

/// GELU with the error function.
///
/// Spelled out where burn's own derivative is that of the tanh form, which is everywhere but on flex.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * 0.5 * ((x * core::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn both_gelus_give_the_values_of_pytorch() {
        let x = Tensor::<1>::from_floats([-3.0, -1.0, 0.0, 0.5, 2.0], &Device::default());
        let erf = Tensor::<1>::from_floats(
            [-0.00404969, -0.15865526, 0.0, 0.34573123, 1.9544997],
            &Device::default(),
        );
        let tanh = Tensor::<1>::from_floats(
            [-0.00363739, -0.15880801, 0.0, 0.345714, 1.9545977],
            &Device::default(),
        );
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        Activation::Gelu
            .apply(x.clone())
            .into_data()
            .assert_approx_eq(&erf.into_data(), tolerance);
        Activation::GeluPytorchTanh
            .apply(x)
            .into_data()
            .assert_approx_eq(&tanh.into_data(), tolerance);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn gelus_in_one_pass_are_the_plain_ones() {
        use kernels::testing::assert_same;
        for size in [1, 37, 40_000] {
            assert_same("gelu", [size], |[x]| kernels::gelu(x), |[x]| gelu(x));
            assert_same(
                "gated gelu",
                [size, size],
                |[gate, up]| kernels::gated_gelu(gate, up),
                |[gate, up]| gelu_tanh(gate) * up,
            );
        }
    }
}
