//! Weights in bf16 that are computed with in f32.
//!
//! Decoding one reply on a CPU is bound by reading the weights; their upper halves are read in half the time.

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use crate::kernels::ops::bf16::{bf16_linear, to_bf16, widen_bf16};

/// A frozen weight in bf16, widened to f32 as it is read.
#[derive(Module, Debug)]
pub(crate) struct Bf16<const D: usize> {
    /// Two numbers in each, `[rows, numbers of a row / 2]`.
    words: Tensor<2, Int>,
    #[module(skip)]
    shape: [usize; D],
}

impl<const D: usize> Bf16<D> {
    /// Rounds a weight to bf16; returns `None` unless it is f32 on the CPU with an even row length.
    pub(crate) fn nearest(weight: Tensor<D>) -> Option<Self> {
        let shape = weight.dims();
        let words = to_bf16(weight.reshape([shape[0] as i32, -1]))?;
        Some(Self { words, shape })
    }

    /// The weight's shape.
    pub(crate) fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Converts the weight back to f32.
    pub(crate) fn widen(&self) -> Tensor<D> {
        widen_bf16(self.words.clone()).reshape(self.shape)
    }

    /// `x · weightᵀ`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn linear(&self, x: Tensor<2>) -> Tensor<2> {
        bf16_linear(x, self.words.clone())
    }
}
