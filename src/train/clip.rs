//! Clipping by the norm of all gradients together, as PyTorch's `clip_grad_norm_`.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

use crate::train::metrics::numbers;

/// Scales the gradients down so that their common norm is at most `max_norm`; returns them with the norm before.
///
/// burn's own clipping looks at one parameter at a time.
pub fn clip_global_norm<M: Module>(
    module: &M,
    mut grads: GradientsParams,
    max_norm: f64,
) -> (GradientsParams, f64) {
    let mut squares = Squares {
        grads: &grads,
        sums: Vec::new(),
    };
    module.visit(&mut squares);
    let norm = numbers(squares.sums).iter().sum::<f64>().sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        grads = scale(module, grads, factor);
    }
    (grads, norm)
}

/// Multiplies every gradient by a factor.
pub(super) fn scale<M: Module>(
    module: &M,
    mut grads: GradientsParams,
    factor: f64,
) -> GradientsParams {
    if factor != 1.0 {
        module.visit(&mut Scale {
            grads: &mut grads,
            factor,
        });
    }
    grads
}

struct Squares<'a> {
    grads: &'a GradientsParams,
    /// Of each gradient.
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.sums.push(grad.cast(DType::F32).square().sum());
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.grads.register(param.id, grad * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Linear, Weights};
    use burn::tensor::Device;

    #[test]
    fn the_norm_of_all_gradients_together_is_bounded() {
        let device = Device::default();
        let mut linear = Linear::new(2, 2, true, 0.1, &device);
        linear.unfreeze_weights();
        let x = Tensor::<2>::from_floats([[3.0, 4.0]], &device).autodiff();
        let grads = GradientsParams::from_grads(linear.forward(x).sum().backward(), &linear);
        // Weight gradients are two rows of (3, 4), bias gradients two ones: norm √(50 + 2).
        let (clipped, norm) = clip_global_norm(&linear, grads, 1.0);
        assert!((norm - 52f64.sqrt()).abs() < 1e-5, "{norm}");
        let (_, after) = clip_global_norm(&linear, clipped, 10.0);
        assert!((after - 1.0).abs() < 1e-5, "{after}");
    }
}
