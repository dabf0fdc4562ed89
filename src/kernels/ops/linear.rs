//! A linear layer without bias.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::ops::matmul::matmul;
use crate::kernels::supports;

/// Computes `x · weightᵀ`; the gradient of the weight has the layout of the weight.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out, in]`
/// - output: `[rows, out]`
///
/// # Panics
///
/// Panics if the dtypes differ.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    if supports(&x) && supports(&weight) {
        let [x, weight] = [x, weight].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::linear(x, weight))
    } else {
        plain(x, weight)
    }
}

fn plain(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    matmul(x, weight.transpose())
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait Linear: Backend {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
pub(crate) mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::tensor::FloatTensor;

    use crate::kernels::FEW_ROWS;
    use crate::kernels::cpu::few_rows::{few_rows, readers};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    impl super::Linear for Flex {
        fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
            linear(x, weight)
        }
    }

    impl<C: CheckpointStrategy> super::Linear for Autodiff<Flex, C> {
        fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
            record::<C, _, 2>(
                [x, weight],
                |[x, weight]| (linear(x.clone(), weight.clone()), [x, weight]),
                gradients,
            )
        }
    }

    /// Computes `x · weightᵀ`.
    pub(crate) fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [rows, inner] = dims(&x);
        let [columns, _] = dims(&weight);
        // The general product of one row is as fast, but single-threaded.
        let is_few = match rows {
            1 => readers(inner * columns) > 1,
            rows => rows <= FEW_ROWS,
        };
        if is_few && weight.is_contiguous() && weight.layout().start_offset() == 0 {
            let out = few_rows(values(&dense(x)), values(&weight), inner);
            return tensor(out, [rows, columns].into());
        }
        Flex::float_matmul(x, weight.transpose(0, 1))
    }

    /// Returns the gradients that are wanted; that of the weight is `[out, in]` in memory, so that adding to it and averaging
    /// it copies nothing.
    fn gradients(
        [x, weight]: [FlexTensor; 2],
        grad: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let to_weight = wanted[1].then(|| Flex::float_matmul(grad.transpose(0, 1), x));
        let to_x = wanted[0].then(|| Flex::float_matmul(grad, weight));
        [to_x, to_weight]
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;

    #[test]
    fn the_loop_equals_the_plain_product() {
        for (rows, inner, out) in [(1, 8, 5), (7, 33, 50), (64, 20, 30), (90, 40, 70)] {
            let shaped = |[x, weight]: [Tensor<1>; 2]| {
                (x.reshape([rows, inner]), weight.reshape([out, inner]))
            };
            assert_same(
                &format!("{rows} rows of {inner} to {out}"),
                [rows * inner, out * inner],
                |inputs| {
                    let (x, weight) = shaped(inputs);
                    linear(x, weight).flatten(0, 1)
                },
                |inputs| {
                    let (x, weight) = shaped(inputs);
                    plain(x, weight).flatten(0, 1)
                },
            );
        }
    }
}
