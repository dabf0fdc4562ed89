//! Activation functions by Hugging Face's names.

use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Tensor, activation};

pub use crate::kernels::ops::gated::gelu_tanh;
use crate::kernels::ops::{self, Gate};

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
    /// `silu`: `x · sigmoid(x)`.
    Silu,
    /// `relu`.
    Relu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    const ALL: [Self; 6] = [
        Self::Gelu,
        Self::GeluNew,
        Self::GeluPytorchTanh,
        Self::Silu,
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
            Self::Silu => "silu",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
        }
    }

    /// The same as the gate of a feed-forward network, if it can be one.
    pub(crate) fn gate(self) -> Option<Gate> {
        match self {
            Self::GeluNew | Self::GeluPytorchTanh => Some(Gate::GeluTanh),
            Self::Silu => Some(Gate::Silu),
            Self::Gelu | Self::Relu | Self::Tanh => None,
        }
    }

    /// Applies the function to each element; the output has the shape of `x`.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => ops::gelu(x),
            Self::GeluNew | Self::GeluPytorchTanh => gelu_tanh(x),
            Self::Silu => activation::silu(x),
            Self::Relu => activation::relu(x),
            Self::Tanh => x.tanh(),
        }
    }
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
}
