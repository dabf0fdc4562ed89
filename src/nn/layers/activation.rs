//! Activation functions by Hugging Face's names.

use burn::tensor::{Tensor, activation};

use crate::kernels::ops;
pub use crate::kernels::ops::gated_gelu::gelu_tanh;

/// An activation function, named in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `gelu`: with the error function.
    Gelu,
    /// `gelu_pytorch_tanh` or `gelu_new`: the tanh form.
    GeluTanh,
    /// `relu`.
    Relu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    /// The function of that name, if there is one here.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_pytorch_tanh" | "gelu_new" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// Applies the function to each element.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => ops::gelu(x),
            Self::GeluTanh => gelu_tanh(x),
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
        Activation::GeluTanh
            .apply(x)
            .into_data()
            .assert_approx_eq(&tanh.into_data(), tolerance);
    }
}
