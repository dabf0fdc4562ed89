//! The gate of a feed-forward network.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, activation};

use crate::kernels::supports;

/// The activation function of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// [`gelu_tanh`]
    GeluTanh,
    /// `x · sigmoid(x)`
    Silu,
}

/// Computes `activation(gate) · up`; reuses the buffer of `gate` where it can.
pub(crate) fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, activation: Gate) -> Tensor<D> {
    if supports(&gate) {
        let [gate, up] = [gate, up].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::gated(gate, up, activation))
    } else {
        plain(gate, up, activation)
    }
}

fn plain<const D: usize>(gate: Tensor<D>, up: Tensor<D>, activation: Gate) -> Tensor<D> {
    let gate = match activation {
        Gate::GeluTanh => gelu_tanh(gate),
        Gate::Silu => activation::silu(gate),
    };
    gate * up
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
trait Gated: Backend {
    fn gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, activation: Gate)
    -> FloatTensor<Self>;
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
    use crate::kernels::ops::gated::Gate;

    impl Gate {
        /// Both activations are `x · sigmoid(linear · x + cubic · x³)`.
        fn factors(self) -> [f32; 2] {
            /// `2·√(2/π)`
            const LINEAR: f32 = 1.595_769;
            match self {
                Self::GeluTanh => [LINEAR, LINEAR * 0.044_715],
                Self::Silu => [1.0, 0.0],
            }
        }
    }

    impl super::Gated for Flex {
        fn gated(gate: FlexTensor, up: FlexTensor, activation: Gate) -> FlexTensor {
            let [linear, cubic] = activation.factors();
            let up = dense(up);
            let up = values(&up);
            change_rows(gate, 1, |start, gate| {
                let up = &up[start..start + gate.len()];
                vectorized(
                    #[inline(always)]
                    || {
                        for (x, &up) in gate.iter_mut().zip(up) {
                            *x = *x * sigmoid(*x * (linear + cubic * *x * *x)) * up;
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::Gated for Autodiff<Flex, C> {
        fn gated(
            gate: FloatTensor<Self>,
            up: FloatTensor<Self>,
            activation: Gate,
        ) -> FloatTensor<Self> {
            record::<C, _, 2>(
                [gate, up],
                |[gate, up]| {
                    let saved = [dense(gate), dense(up)];
                    let [gate, up] = saved.clone();
                    (Flex::gated(gate, up, activation), (saved, activation))
                },
                |([gate, up], activation), grad, _| gradients(gate, up, activation, grad).map(Some),
            )
        }
    }

    /// Returns the gradients of gate and up.
    fn gradients(
        gate: FlexTensor,
        up: FlexTensor,
        activation: Gate,
        grad: FlexTensor,
    ) -> [FlexTensor; 2] {
        let [linear, cubic] = activation.factors();
        let (mut gate, mut up, grad) = (owned(gate), owned(up), dense(grad));
        let pairs = values_mut(&mut gate).iter_mut().zip(values_mut(&mut up));
        vectorized(
            #[inline(always)]
            || {
                for ((gate, up), &grad) in pairs.zip(values(&grad)) {
                    let x = *gate;
                    let square = x * x;
                    let share = sigmoid(x * (linear + cubic * square));
                    let slope = share + x * share * (1.0 - share) * (linear + 3.0 * cubic * square);
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
        for activation in [Gate::GeluTanh, Gate::Silu] {
            for size in [1, 37, 40_000] {
                assert_same(
                    &format!("{activation:?}"),
                    [size, size],
                    |[gate, up]| gated(gate, up, activation),
                    |[gate, up]| plain(gate, up, activation),
                );
            }
        }
    }
}
