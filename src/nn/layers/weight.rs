//! A weight that is either frozen or trained, and the walk over a module's weights by name.

use std::ops::Range;
use std::sync::Arc;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, module};

use crate::kernels::ops::{add_bias, linear};
use crate::nn::layers::bf16::Bf16;
use crate::nn::layers::int8::Int8;
use crate::nn::layers::nf4::Nf4;
use crate::nn::layers::panels::Panels;
use crate::nn::layers::rows::{RowSource, StoredRows, StoredTable};

/// A weight of a model: a constant in some storage format, or a parameter that an optimizer trains.
///
/// A constant is held as plain tensors. burn's learner, `num_params` and `save_file` do not see those, so a frozen
/// model costs the optimizer nothing and a checkpoint of it holds only its LoRA factors. A trained weight is a burn
/// [`Param`]. [`Weight::freeze`] and [`Weight::unfreeze`] turn one into the other.
#[derive(Module, Debug)]
pub struct Weight<const D: usize> {
    storage: Storage<D>,
}

/// How a weight is stored.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has hundreds of weights, not millions; without a backend all are of one size"
)]
enum Storage<const D: usize> {
    /// A constant, off the autodiff tape.
    Frozen(Tensor<D>),
    /// A constant in four bits a value, dequantized on each use.
    Nf4(Nf4<D>),
    /// A constant in eight bits a value, dequantized on each use.
    Int8(Int8),
    /// A constant that stays on a disk; rows are read when they are used.
    Stored(StoredTable),
    /// A constant in bf16, widened to f32 on each use.
    Bf16(Bf16<D>),
    /// A constant packed in the order in which the CPU's matrix product reads it.
    Panels(Panels<D>),
    /// A parameter.
    Trained(Param<Tensor<D>>),
}

impl<const D: usize> From<Storage<D>> for Weight<D> {
    fn from(storage: Storage<D>) -> Self {
        Self { storage }
    }
}

impl<const D: usize> Weight<D> {
    /// A parameter that is drawn from `initializer` on first use.
    pub fn init(initializer: &Initializer, shape: [usize; D], device: &Device) -> Self {
        Storage::Trained(initializer.init(shape, device)).into()
    }

    /// A constant.
    pub fn frozen(value: Tensor<D>) -> Self {
        Storage::Frozen(value).into()
    }

    /// A constant in four bits a value.
    pub fn nf4(weight: Nf4<D>) -> Self {
        Storage::Nf4(weight).into()
    }

    /// Returns the value as a dense tensor; a weight in a few bits is dequantized for it, and one on a disk is read.
    pub fn val(&self) -> Tensor<D> {
        match &self.storage {
            Storage::Frozen(tensor) => tensor.clone(),
            Storage::Nf4(weight) => weight.dequantize(),
            Storage::Int8(weight) => weight.dequantize().reshape(self.shape()),
            Storage::Stored(table) => table.rows().whole().reshape(self.shape()),
            Storage::Bf16(weight) => weight.widen(),
            Storage::Panels(weight) => weight.dense(),
            Storage::Trained(param) => param.val(),
        }
    }

    /// Returns the shape without drawing an uninitialized weight.
    pub fn shape(&self) -> [usize; D] {
        match &self.storage {
            Storage::Frozen(tensor) => tensor.dims(),
            Storage::Nf4(weight) => weight.shape(),
            Storage::Int8(weight) => matrix(weight.shape()),
            Storage::Stored(table) => matrix(table.rows().shape()),
            Storage::Bf16(weight) => weight.shape(),
            Storage::Panels(weight) => weight.shape(),
            Storage::Trained(param) => param.lazy_shape().dims(),
        }
    }

    /// Whether the weight is stored in four bits a value.
    pub fn is_quantized(&self) -> bool {
        matches!(self.storage, Storage::Nf4(_))
    }

    /// Makes the weight a constant. Other constants stay as they are stored.
    pub fn freeze(&mut self) {
        if let Storage::Trained(param) = &self.storage {
            *self = Self::frozen(param.val().without_autodiff());
        }
    }

    /// Makes the weight a dense parameter on the autodiff device.
    pub fn unfreeze(&mut self) {
        let value = self.val().without_autodiff();
        let param = Param::from_tensor(value.autodiff().require_grad());
        self.storage = Storage::Trained(param);
    }

    /// The value of a dense constant; `None` for every other storage.
    pub(crate) fn as_dense(&self) -> Option<&Tensor<D>> {
        match &self.storage {
            Storage::Frozen(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The panels, if the weight is stored in them.
    pub(crate) fn as_panels(&self) -> Option<&Panels<D>> {
        match &self.storage {
            Storage::Panels(weight) => Some(weight),
            _ => None,
        }
    }
}

/// The shape of a weight that is a matrix in its storage.
fn matrix<const D: usize>(shape: [usize; 2]) -> [usize; D] {
    std::array::from_fn(|dim| shape[dim])
}

impl Weight<2> {
    /// A constant in eight bits a value.
    pub fn int8(weight: Int8) -> Self {
        Storage::Int8(weight).into()
    }

    /// The rows at some indices.
    ///
    /// # Shapes
    ///
    /// - indices: `[batch, seq]`
    /// - output: `[batch, seq, columns]`
    pub(crate) fn rows(&self, indices: Tensor<2, Int>) -> Tensor<3> {
        let [batch, seq] = indices.dims();
        let [_, columns] = self.shape();
        let flat = |indices: Tensor<2, Int>| indices.reshape([batch * seq]);
        let rows = match &self.storage {
            Storage::Int8(weight) => weight.rows(flat(indices)),
            Storage::Nf4(weight) if weight.has_whole_rows() => weight.rows(flat(indices)),
            Storage::Stored(table) => table.rows().rows(flat(indices)),
            _ => return module::embedding(self.val(), indices),
        };
        rows.reshape([batch, seq, columns])
    }

    /// Dense parts of the weight, each some of its rows: the whole if it is dense, else no more than `most` numbers at a time.
    pub(crate) fn parts(&self, most: usize) -> impl Iterator<Item = (Range<usize>, Tensor<2>)> {
        let [rows, columns] = self.shape();
        let each = match &self.storage {
            Storage::Int8(_) => most / columns.max(1),
            Storage::Nf4(weight) if weight.has_whole_rows() => most / columns.max(1),
            _ => rows,
        };
        let each = each.clamp(1, rows.max(1));
        (0..rows).step_by(each).map(move |start| {
            let range = start..rows.min(start + each);
            let part = match &self.storage {
                Storage::Int8(weight) => weight.part(range.clone()),
                Storage::Nf4(weight) if weight.has_whole_rows() => weight.part(range.clone()),
                _ => self.val(),
            };
            (range, part)
        })
    }

    /// `x · weightᵀ + bias`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - bias: `[out]`
    /// - output: `[rows, out]`
    pub(crate) fn linear(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        if let Storage::Panels(weight) = &self.storage
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

    /// `x · weightᵀ` by reading the weight as it is stored, where that is in fewer bits.
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn packed_linear(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        match &self.storage {
            Storage::Bf16(weight) => Some(weight.linear(x.clone())),
            Storage::Nf4(weight) => weight.few_rows(x),
            Storage::Int8(weight) => Some(weight.linear(x.clone())),
            Storage::Stored(_) | Storage::Panels(_) | Storage::Frozen(_) | Storage::Trained(_) => {
                None
            }
        }
    }

    /// The same weight in panels, if it is a dense f32 constant on the CPU.
    pub(crate) fn to_panels(&self) -> Option<Self> {
        let panels = Panels::of(self.as_dense()?.clone())?;
        Some(Storage::Panels(panels).into())
    }

    /// The weight rounded to bf16, if it is dense f32 on the CPU.
    pub(crate) fn to_bf16(&self) -> Option<Self> {
        match &self.storage {
            Storage::Nf4(_) | Storage::Int8(_) | Storage::Stored(_) | Storage::Bf16(_) => None,
            Storage::Panels(_) | Storage::Frozen(_) | Storage::Trained(_) => {
                let weight = Bf16::nearest(self.val())?;
                Some(Storage::Bf16(weight).into())
            }
        }
    }
}

/// A weight of rank one or two that [`Weights::weights`] lends, to be read or replaced.
pub enum WeightMut<'a> {
    /// A bias or the scale of a norm.
    Vector(&'a mut Weight<1>),
    /// A projection or an embedding table.
    Matrix(&'a mut Weight<2>),
}

impl WeightMut<'_> {
    /// Returns the shape as stored, `[out, in]` for projections.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(weight) => weight.shape().to_vec(),
            Self::Matrix(weight) => weight.shape().to_vec(),
        }
    }

    /// Copies the values from the device.
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
    /// Panics if the rank of `data` is not that of the weight.
    pub fn set_frozen(&mut self, data: TensorData, dtype: DType, device: &Device) {
        match self {
            Self::Vector(weight) => {
                **weight = Weight::frozen(Tensor::from_data(data, (device, dtype)))
            }
            Self::Matrix(weight) => {
                **weight = Weight::frozen(Tensor::from_data(data, (device, dtype)))
            }
        }
    }

    /// Replaces the weight by one in four bits.
    ///
    /// # Panics
    ///
    /// Panics if this is a vector.
    pub fn set_nf4(&mut self, weight: Nf4<2>) {
        match self {
            Self::Vector(_) => panic!("a vector is not quantized"),
            Self::Matrix(old) => **old = Weight::nf4(weight),
        }
    }

    /// Replaces the weight by one whose rows stay where they are; the model has them in `dtype` as it uses them.
    ///
    /// # Panics
    ///
    /// Panics if this is a vector.
    pub fn set_rows(&mut self, source: Arc<dyn RowSource>, dtype: DType, device: &Device) {
        match self {
            Self::Vector(_) => panic!("a vector has no rows"),
            Self::Matrix(old) => {
                let rows = StoredRows::new(source, old.shape(), dtype, device);
                **old = Storage::Stored(StoredTable::new(rows)).into();
            }
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

/// A module whose weights have Hugging Face's names.
///
/// burn's `save_file` leaves frozen weights out, so this walk is the way to save and load a whole model; the feature
/// `files` does it with `apc::files::save_weights` and `load_weights`.
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
}

/// Fills the matrices with numbers between `-bound` and `bound` that are the same in every run: the device's own random
/// numbers are shared with the tests that run meanwhile.
#[cfg(test)]
pub(crate) fn draw_matrices(model: &mut impl Weights, seed: u32, bound: f32, device: &Device) {
    let mut seed = seed;
    model.weights("", &mut |_, mut weight| {
        if let WeightMut::Matrix(_) = &weight {
            let shape = weight.shape();
            seed += 1;
            let numbers = crate::kernels::testing::numbers(shape.iter().product(), seed);
            let numbers: Vec<f32> = numbers.into_iter().map(|number| number * bound).collect();
            weight.set_frozen(TensorData::new(numbers, shape), DType::F32, device);
        }
    });
}

/// Joins `prefix` and `name` with a dot; returns `name` if there is no prefix.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}
