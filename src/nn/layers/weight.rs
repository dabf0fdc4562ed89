//! A weight that is either frozen or trained, and the walk over a module's weights by name.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::kernels::ops::{add_bias, linear};
use crate::nn::layers::bf16::Bf16;
use crate::nn::layers::nf4::Nf4;
use crate::nn::layers::panels::Panels;

/// A weight of a model: frozen, dense or in NF4, or trained by an optimizer.
///
/// A frozen weight is plain tensors, which burn's learner neither visits, copies nor saves; a trained one is a
/// [`Param`]. [`Weight::freeze`] and [`Weight::unfreeze`] turn one into the other.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has hundreds of weights, not millions"
)]
pub enum Weight<const D: usize> {
    /// A constant of the model, off the autodiff tape.
    Frozen(Tensor<D>),
    /// A constant in four bits a value, made dense whenever it is used.
    Nf4(Nf4<D>),
    /// A constant in bf16, widened to f32 whenever it is used.
    Bf16(Bf16<D>),
    /// A constant in the order in which a CPU multiplies with it.
    Panels(Panels<D>),
    /// A parameter of the model.
    Trained(Param<Tensor<D>>),
}

impl<const D: usize> Weight<D> {
    /// A trained weight that is drawn from `initializer` when it is first used.
    pub fn init(initializer: &Initializer, shape: [usize; D], device: &Device) -> Self {
        Self::Trained(initializer.init(shape, device))
    }

    /// The weight's value.
    pub fn val(&self) -> Tensor<D> {
        match self {
            Self::Frozen(tensor) => tensor.clone(),
            Self::Nf4(weight) => weight.dequantize(),
            Self::Bf16(weight) => weight.widen(),
            Self::Panels(weight) => weight.dense(),
            Self::Trained(param) => param.val(),
        }
    }

    /// The weight's shape; does not draw an uninitialized weight.
    pub fn shape(&self) -> [usize; D] {
        match self {
            Self::Frozen(tensor) => tensor.dims(),
            Self::Nf4(weight) => weight.shape(),
            Self::Bf16(weight) => weight.shape(),
            Self::Panels(weight) => weight.shape(),
            Self::Trained(param) => param.lazy_shape().dims(),
        }
    }

    /// The same weight as a constant.
    pub fn freeze(&mut self) {
        if let Self::Trained(param) = self {
            *self = Self::Frozen(param.val().without_autodiff());
        }
    }

    /// The same weight as a parameter, on the autodiff device.
    pub fn unfreeze(&mut self) {
        let value = self.val().without_autodiff();
        *self = Self::Trained(Param::from_tensor(value.autodiff().require_grad()));
    }
}

impl Weight<2> {
    /// `x · weightᵀ + bias`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - bias: `[out]`
    /// - output: `[rows, out]`
    pub(crate) fn linear(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        if let Self::Panels(weight) = self
            && !x.is_tracked()
        {
            return weight.linear(x, bias);
        }
        let out = self
            .packed_linear(&x)
            .unwrap_or_else(|| linear(x, self.val()));
        match bias {
            Some(bias) => add_bias(out, bias),
            None => out,
        }
    }

    /// `x · weightᵀ` by reading the weight as it is kept, where it is in fewer bits.
    pub(crate) fn packed_linear(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        match self {
            Self::Bf16(weight) => Some(weight.linear(x.clone())),
            Self::Nf4(weight) => weight.few_rows(x),
            Self::Panels(_) | Self::Frozen(_) | Self::Trained(_) => None,
        }
    }

    /// The same weight in panels, if it is frozen and dense f32 on the CPU.
    pub(crate) fn to_panels(&self) -> Option<Self> {
        match self {
            Self::Frozen(weight) => Panels::of(weight.clone()).map(Self::Panels),
            _ => None,
        }
    }

    /// The nearest weight in bf16, if it is dense f32 on the CPU.
    pub(crate) fn to_bf16(&self) -> Option<Self> {
        match self {
            Self::Nf4(_) | Self::Bf16(_) => None,
            Self::Panels(_) | Self::Frozen(_) | Self::Trained(_) => {
                let weight = self.val();
                Bf16::nearest(weight).map(Self::Bf16)
            }
        }
    }
}

/// A weight of rank one or two, to be read or replaced.
pub enum WeightMut<'a> {
    /// A bias or the scale of a norm.
    Vector(&'a mut Weight<1>),
    /// A projection or an embedding table.
    Matrix(&'a mut Weight<2>),
}

impl WeightMut<'_> {
    /// The shape as stored, `[out, in]` for projections.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(weight) => weight.shape().to_vec(),
            Self::Matrix(weight) => weight.shape().to_vec(),
        }
    }

    /// The values, copied from the device.
    pub fn to_data(&self) -> TensorData {
        match self {
            Self::Vector(weight) => weight.val().into_data(),
            Self::Matrix(weight) => weight.val().into_data(),
        }
    }

    /// Replaces the weight by a frozen one with these values.
    ///
    /// # Panics
    ///
    /// If the rank of `data` is not that of the weight.
    pub fn set_frozen(&mut self, data: TensorData, dtype: DType, device: &Device) {
        match self {
            Self::Vector(weight) => {
                **weight = Weight::Frozen(Tensor::from_data(data, (device, dtype)))
            }
            Self::Matrix(weight) => {
                **weight = Weight::Frozen(Tensor::from_data(data, (device, dtype)))
            }
        }
    }

    /// Replaces the weight by one in four bits.
    ///
    /// # Panics
    ///
    /// If this is no matrix.
    pub fn set_nf4(&mut self, weight: Nf4<2>) {
        match self {
            Self::Vector(_) => panic!("a vector is not quantized"),
            Self::Matrix(old) => **old = Weight::Nf4(weight),
        }
    }

    /// Makes the weight a constant.
    pub fn freeze(&mut self) {
        match self {
            Self::Vector(weight) => weight.freeze(),
            Self::Matrix(weight) => weight.freeze(),
        }
    }

    /// Makes the weight a parameter on the autodiff device.
    pub fn unfreeze(&mut self) {
        match self {
            Self::Vector(weight) => weight.unfreeze(),
            Self::Matrix(weight) => weight.unfreeze(),
        }
    }
}

/// A module whose weights go by Hugging Face's names.
pub trait Weights {
    /// Calls `visit` with each weight and its full name, which starts with `prefix`; always in the same order.
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>));

    /// Makes every weight a constant; LoRA factors stay parameters.
    fn freeze_weights(&mut self) {
        self.weights("", &mut |_, mut weight| weight.freeze());
    }

    /// Makes every weight a parameter on the autodiff device.
    fn unfreeze_weights(&mut self) {
        self.weights("", &mut |_, mut weight| weight.unfreeze());
    }

    /// How many numbers the weights hold, frozen and trained; LoRA factors are not counted.
    fn num_weights(&mut self) -> usize {
        let mut count = 0;
        self.weights("", &mut |_, weight| {
            count += weight.shape().iter().product::<usize>()
        });
        count
    }
}

/// `prefix` and `name` joined by a dot, or `name` alone.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}
