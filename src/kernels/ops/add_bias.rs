//! Adding a bias to each row.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::supports;

/// Computes `x + bias` for each row; reuses the buffer of `x` where it can.
///
/// # Shapes
///
/// - x and output: `[rows, columns]`
/// - bias: `[columns]`
pub(crate) fn add_bias(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if supports(&x) && supports(&bias) {
        let (x, bias) = (x.into_dispatch(), bias.into_dispatch());
        Tensor::from_dispatch(Dispatch::add_bias(x, bias))
    } else {
        plain(x, bias)
    }
}

fn plain(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x + bias.unsqueeze()
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait AddBias: Backend {
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;
    use burn::tensor::Shape;

    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{change_rows, dense, tensor, values, width};

    impl super::AddBias for Flex {
        fn add_bias(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
            let bias = dense(bias);
            let bias = values(&bias);
            change_rows(x, bias.len(), |_, x| {
                vectorized(
                    #[inline(always)]
                    || {
                        for row in x.chunks_exact_mut(bias.len()) {
                            for (x, &bias) in row.iter_mut().zip(bias) {
                                *x += bias;
                            }
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::AddBias for Autodiff<Flex, C> {
        fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
            record::<C, _, 2>(
                [x, bias],
                |[x, bias]| (Flex::add_bias(x, bias), ()),
                |(), grad, wanted| gradients(grad, wanted),
            )
        }
    }

    fn gradients(grad: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let grad = dense(grad);
        let to_bias = wanted[1].then(|| {
            let mut sums = vec![0.0; width(&grad)];
            vectorized(
                #[inline(always)]
                || {
                    for row in values(&grad).chunks_exact(sums.len()) {
                        for (sum, &grad) in sums.iter_mut().zip(row) {
                            *sum += grad;
                        }
                    }
                },
            );
            let shape = Shape::new([sums.len()]);
            tensor(sums, shape)
        });
        [wanted[0].then_some(grad), to_bias]
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;

    #[test]
    fn the_loop_equals_the_plain_sum() {
        for (rows, columns) in [(1, 5), (7, 33), (3000, 40)] {
            assert_same(
                &format!("{rows} rows of {columns}"),
                [rows * columns, columns],
                |[x, bias]| add_bias(x.reshape([rows, columns]), bias).flatten(0, 1),
                |[x, bias]| plain(x.reshape([rows, columns]), bias).flatten(0, 1),
            );
        }
    }
}
