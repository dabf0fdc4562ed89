//! Weights packed in the order in which the CPU's matrix product reads them.
//!
//! A general product packs a weight each time; a weight that is used for many batches is packed once and kept so.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::kernels::ops::panels::{PanelLayer, from_panels, panel_linear, to_panels};

/// A frozen weight in panels, each as many columns of the product as the processor computes at once.
#[derive(Module, Debug)]
pub(crate) struct Panels<const D: usize> {
    numbers: Tensor<1>,
    #[module(skip)]
    shape: [usize; D],
}

impl<const D: usize> Panels<D> {
    /// Packs a weight; returns `None` unless it is f32 on the CPU.
    pub(crate) fn of(weight: Tensor<D>) -> Option<Self> {
        let shape = weight.dims();
        let numbers = to_panels(weight.reshape([shape[0] as i32, -1]))?;
        Some(Self { numbers, shape })
    }

    /// The weight's shape.
    pub(crate) fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Converts the weight back.
    pub(crate) fn dense(&self) -> Tensor<D> {
        let inner = self.shape[1..].iter().product();
        from_panels(self.numbers.clone(), self.shape[0], inner).reshape(self.shape)
    }

    /// The panels as one part of a layer.
    pub(crate) fn with_bias(&self, bias: Tensor<1>) -> PanelLayer {
        PanelLayer {
            panels: self.numbers.clone(),
            bias,
        }
    }

    /// `x · weightᵀ + bias`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - bias: `[out]`
    /// - output: `[rows, out]`
    pub(crate) fn linear(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        let bias = bias.unwrap_or_else(|| Tensor::zeros([self.shape[0]], &x.device()));
        panel_linear(x, self.with_bias(bias))
    }
}
