//! GELU in its tanh form, as the gate of a feed-forward network.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, activation};

use crate::kernels::supports;

/// Computes `gelu_tanh(gate) · up`; reuses the buffer of `gate` where it can.
pub(crate) fn gated_gelu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if supports(&gate) {
        let [gate, up] = [gate, up].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::gated_gelu(gate, up))
    } else {
        plain(gate, up)
    }
}

fn plain<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    gelu_tanh(gate) * up
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

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait GatedGelu: Backend {
    fn gated_gelu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;

    use crate::kernels::cpu::simd::{flush_tiny, sigmoid, vectorized};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{change_rows, dense, owned, values, values_mut};

    /// `2·√(2/π)`, and that times the factor of the cubic term.
    const LINEAR: f32 = 1.595_769;
    const CUBIC: f32 = LINEAR * 0.044_715;

    impl super::GatedGelu for Flex {
        fn gated_gelu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
            let up = dense(up);
            let up = values(&up);
            change_rows(gate, 1, |start, gate| {
                let up = &up[start..start + gate.len()];
                vectorized(
                    #[inline(always)]
                    || {
                        for (x, &up) in gate.iter_mut().zip(up) {
                            *x = *x * sigmoid(*x * (LINEAR + CUBIC * *x * *x)) * up;
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::GatedGelu for Autodiff<Flex, C> {
        fn gated_gelu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
            record::<C, _, 2>(
                [gate, up],
                |[gate, up]| {
                    let saved = [dense(gate), dense(up)];
                    let [gate, up] = saved.clone();
                    (Flex::gated_gelu(gate, up), saved)
                },
                |[gate, up], grad, _| gradients(gate, up, grad).map(Some),
            )
        }
    }

    /// Returns the gradients of gate and up.
    fn gradients(gate: FlexTensor, up: FlexTensor, grad: FlexTensor) -> [FlexTensor; 2] {
        let (mut gate, mut up, grad) = (owned(gate), owned(up), dense(grad));
        let pairs = values_mut(&mut gate).iter_mut().zip(values_mut(&mut up));
        vectorized(
            #[inline(always)]
            || {
                for ((gate, up), &grad) in pairs.zip(values(&grad)) {
                    let x = *gate;
                    let square = x * x;
                    let share = sigmoid(x * (LINEAR + CUBIC * square));
                    let slope = share + x * share * (1.0 - share) * (LINEAR + 3.0 * CUBIC * square);
                    *gate = flush_tiny(grad * *up * slope);
                    *up = flush_tiny(grad * x * share);
                }
            },
        );
        [gate, up]
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;

    #[test]
    fn the_loop_equals_the_plain_expression() {
        for size in [1, 37, 40_000] {
            assert_same(
                "gated gelu",
                [size, size],
                |[gate, up]| gated_gelu(gate, up),
                |[gate, up]| plain(gate, up),
            );
        }
    }
}
