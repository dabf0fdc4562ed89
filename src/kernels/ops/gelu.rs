//! GELU with the error function.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::supports;

/// Computes `x · Φ(x)` with the error function; reuses the buffer of `x` where it can.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if supports(&x) {
        Tensor::from_dispatch(Dispatch::gelu(x.into_dispatch()))
    } else {
        plain(x)
    }
}

/// Not burn's own `gelu`, whose derivative is that of the tanh form on all backends but flex.
fn plain<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * 0.5 * ((x * core::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait Gelu: Backend {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;

    use crate::kernels::cpu::simd::{self, erf, exp, flush_tiny, vectorized};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{change_rows, dense, owned, values, values_mut};

    impl super::Gelu for Flex {
        fn gelu(x: FlexTensor) -> FlexTensor {
            change_rows(x, 1, |_, x| {
                vectorized(
                    #[inline(always)]
                    || {
                        for x in x {
                            *x = simd::gelu(*x);
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::Gelu for Autodiff<Flex, C> {
        fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
            record::<C, _, 1>(
                [x],
                |[x]| {
                    let x = dense(x);
                    (Flex::gelu(x.clone()), x)
                },
                |x, grad, _| [Some(gradient(x, grad))],
            )
        }
    }

    fn gradient(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        /// `1 / √(2π)`
        const DENSITY: f32 = 0.398_942_3;
        let (x, mut grad) = (dense(x), owned(grad));
        let (x, to_x) = (values(&x), values_mut(&mut grad));
        vectorized(
            #[inline(always)]
            || {
                for (grad, &x) in to_x.iter_mut().zip(x) {
                    let below = 0.5 * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2));
                    *grad = flush_tiny(*grad * (below + x * DENSITY * exp(-0.5 * x * x)));
                }
            },
        );
        grad
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;

    #[test]
    fn the_loop_equals_the_plain_expression() {
        for size in [1, 37, 40_000] {
            assert_same("gelu", [size], |[x]| gelu(x), |[x]| plain(x));
        }
    }
}
