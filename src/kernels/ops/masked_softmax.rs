//! Softmax with a mask.

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, Tensor, activation};

use crate::kernels::supports;

/// Computes `softmax(scale · scores)` over the last dimension; masked entries get weight 0, and a row that is masked as a
/// whole gets equal weights. Reuses the buffer of the scores where it can.
///
/// # Shapes
///
/// - scores and output: `[a, b, rows, columns]`
/// - mask: the same, or 1 in any dimension but the last; true where an entry is masked
pub(crate) fn masked_softmax(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    if supports(&scores) {
        let (scores, mask) = (scores.into_dispatch(), mask.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::masked_softmax(scores, mask, scale as f32))
    } else {
        plain(scores, mask, scale)
    }
}

fn plain(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    let mask = mask.clone().expand(scores.dims());
    activation::softmax((scores * scale).mask_fill(mask, f32::MIN), 3)
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait MaskedSoftmax: Backend {
    fn masked_softmax(
        scores: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;

    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::softmax::{MaskRows, softmax_row, softmax_row_gradient};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{change_rows, dims, values};

    impl super::MaskedSoftmax for Flex {
        fn masked_softmax(scores: FlexTensor, mask: FlexTensor, scale: f32) -> FlexTensor {
            forward(scores, &mask, scale)
        }
    }

    impl<C: CheckpointStrategy> super::MaskedSoftmax for Autodiff<Flex, C> {
        fn masked_softmax(
            scores: FloatTensor<Self>,
            mask: FlexTensor,
            scale: f32,
        ) -> FloatTensor<Self> {
            record::<C, _, 1>(
                [scores],
                |[scores]| {
                    let weights = forward(scores, &mask, scale);
                    (weights.clone(), (weights, mask, scale))
                },
                |(weights, mask, scale), grad, _| [Some(gradient(&weights, &mask, scale, grad))],
            )
        }
    }

    fn forward(scores: FlexTensor, mask: &FlexTensor, scale: f32) -> FlexTensor {
        let rows = MaskRows::new(mask, dims(&scores));
        let columns = rows.columns;
        change_rows(scores, columns, |first, scores| {
            vectorized(
                #[inline(always)]
                || {
                    for (row_idx, row) in scores.chunks_exact_mut(columns).enumerate() {
                        softmax_row(row, rows.row(first + row_idx), scale);
                    }
                },
            );
        })
    }

    /// Returns the gradient of the scores, from the weights that are the result.
    fn gradient(
        weights: &FlexTensor,
        mask: &FlexTensor,
        scale: f32,
        grad: FlexTensor,
    ) -> FlexTensor {
        let rows = MaskRows::new(mask, dims(&grad));
        let columns = rows.columns;
        let weights = values(weights);
        change_rows(grad, columns, |first, grad| {
            let weights = &weights[first * columns..first * columns + grad.len()];
            vectorized(
                #[inline(always)]
                || {
                    let grad = grad.chunks_exact_mut(columns);
                    for (row_idx, (row, weights)) in
                        grad.zip(weights.chunks_exact(columns)).enumerate()
                    {
                        softmax_row_gradient(row, weights, rows.row(first + row_idx), scale);
                    }
                },
            );
        })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;
    use burn::tensor::{Device, TensorData};

    fn mask(shape: [usize; 4], is_masked: impl Fn([usize; 4]) -> bool) -> Tensor<4, Bool> {
        let [a, b, rows, columns] = shape;
        let bytes = (0..a * b * rows * columns).map(|idx| {
            is_masked([
                idx / (b * rows * columns),
                idx / (rows * columns) % b,
                idx / columns % rows,
                idx % columns,
            ])
        });
        Tensor::from_data(TensorData::new(bytes.collect(), shape), &Device::default())
    }

    #[test]
    fn the_loop_equals_the_plain_expression() {
        let causal = |[a, _, row, column]: [usize; 4]| column > row || column == 3 * a;
        for (case, mask, shape) in [
            ("one mask a row", mask([2, 1, 7, 7], causal), [2, 3, 7, 7]),
            (
                "one mask for all rows",
                mask([1, 1, 7, 7], causal),
                [2, 3, 7, 7],
            ),
            (
                "one mask for all queries",
                mask([1, 2, 1, 7], |[_, b, _, column]| b == 0 && column != 1),
                [3, 2, 7, 7],
            ),
            (
                "a row that is masked as a whole",
                mask([1, 2, 1, 7], |[_, b, _, column]| b == 0 || column != 1),
                [3, 2, 7, 7],
            ),
        ] {
            assert_same(
                case,
                [shape.iter().product()],
                |[scores]| masked_softmax(scores.reshape(shape), &mask, 0.7).flatten(0, 3),
                |[scores]| plain(scores.reshape(shape), &mask, 0.7).flatten(0, 3),
            );
        }
    }
}
