//! A frozen linear layer with the low-rank factors of LoRA.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::ops::linear::linear;
use crate::kernels::ops::matmul::matmul;
use crate::kernels::supports;

/// Computes `x · weightᵀ + scaling · (x · lora_aᵀ) · lora_bᵀ`.
///
/// The factors may have another dtype than `x`, see [`low_rank`].
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out, in]`
/// - lora_a: `[rank, in]`
/// - lora_b: `[out, rank]`
/// - output: `[rows, out]`
pub(crate) fn lora_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scaling: f64,
) -> Tensor<2> {
    if supports(&x) && supports(&weight) && supports(&lora_a) && !weight.is_tracked() {
        let [x, weight, lora_a, lora_b] = [x, weight, lora_a, lora_b].map(Tensor::into_dispatch);
        let out = Dispatch::lora_linear(x, weight, lora_a, lora_b, scaling as f32);
        Tensor::from_dispatch(out)
    } else {
        plain(x, weight, lora_a, lora_b, scaling)
    }
}

fn plain(
    x: Tensor<2>,
    weight: Tensor<2>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scaling: f64,
) -> Tensor<2> {
    linear(x.clone(), weight) + low_rank(x, lora_a, lora_b, scaling)
}

/// Computes `scaling · (x · lora_aᵀ) · lora_bᵀ` in the dtype of the factors and casts it back to that of `x`; never builds
/// the product of the factors.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - lora_a: `[rank, in]`
/// - lora_b: `[out, rank]`
/// - output: `[rows, out]`
pub(crate) fn low_rank(
    x: Tensor<2>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scaling: f64,
) -> Tensor<2> {
    let dtype = x.dtype();
    let low = matmul(x.cast(lora_a.dtype()), lora_a.transpose());
    (matmul(low, lora_b.transpose()) * scaling).cast(dtype)
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait LoraLinear: Backend {
    fn lora_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        lora_a: FloatTensor<Self>,
        lora_b: FloatTensor<Self>,
        scaling: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::tensor::FloatTensor;

    use crate::kernels::cpu::product::{Product, Strided};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values, width};
    use crate::kernels::ops::linear::cpu::linear;

    /// Above this rank a general product is faster.
    const NARROW: usize = 64;

    impl super::LoraLinear for Flex {
        fn lora_linear(
            x: FlexTensor,
            weight: FlexTensor,
            lora_a: FlexTensor,
            lora_b: FlexTensor,
            scaling: f32,
        ) -> FlexTensor {
            forward(x, weight, lora_a, lora_b, scaling).0
        }
    }

    impl<C: CheckpointStrategy> super::LoraLinear for Autodiff<Flex, C> {
        fn lora_linear(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            lora_a: FloatTensor<Self>,
            lora_b: FloatTensor<Self>,
            scaling: f32,
        ) -> FloatTensor<Self> {
            record::<C, _, 4>(
                [x, weight, lora_a, lora_b],
                |[x, weight, lora_a, lora_b]| forward(x, weight, lora_a, lora_b, scaling),
                gradients,
            )
        }
    }

    /// What the backward pass needs.
    #[derive(Clone, Debug)]
    struct Saved {
        x: FlexTensor,
        weight: FlexTensor,
        lora_a: FlexTensor,
        lora_b: FlexTensor,
        /// `x · lora_aᵀ`, `[rows, rank]`
        low: FlexTensor,
        scaling: f32,
    }

    /// Returns the result and what the backward pass needs.
    fn forward(
        x: FlexTensor,
        weight: FlexTensor,
        lora_a: FlexTensor,
        lora_b: FlexTensor,
        scaling: f32,
    ) -> (FlexTensor, Saved) {
        let (x, lora_a, lora_b) = (dense(x), dense(lora_a), dense(lora_b));
        let low = product(&x, &transposed(&lora_a));
        let out = linear(x.clone(), weight.clone());
        let out = add_scaled_product(out, &low, &transposed(&lora_b), scaling);
        let saved = Saved {
            x,
            weight,
            lora_a,
            lora_b,
            low,
            scaling,
        };
        (out, saved)
    }

    /// Returns the gradients that are wanted; the weight is frozen and has none.
    fn gradients(saved: Saved, grad: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let grad = dense(grad);
        let to_low = scaled(product(&grad, &saved.lora_b), saved.scaling); // [rows, rank]
        let to_x = wanted[0].then(|| {
            let to_x = Flex::float_matmul(grad.clone(), saved.weight);
            add_scaled_product(to_x, &to_low, &saved.lora_a, 1.0)
        });
        let to_a = wanted[2].then(|| transposed_product(&to_low, &saved.x)); // [rank, in]
        let to_b = wanted[3].then(|| {
            let transposed_to_b = transposed_product(&scaled(saved.low, saved.scaling), &grad); // [rank, out]
            transposed(&transposed_to_b)
        });
        [to_x, None, to_a, to_b]
    }

    /// Transposes a matrix in memory.
    fn transposed(matrix: &FlexTensor) -> FlexTensor {
        matrix.transpose(0, 1).to_contiguous()
    }

    fn scaled(mut matrix: FlexTensor, scaling: f32) -> FlexTensor {
        if scaling != 1.0 {
            for value in matrix.storage_mut::<f32>() {
                *value *= scaling;
            }
        }
        matrix
    }

    /// Computes `lhs · rhs`.
    fn product(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
        let ([rows, inner], columns) = (dims(lhs), width(rhs));
        if columns > NARROW {
            return Flex::float_matmul(lhs.clone(), rhs.clone());
        }
        let mut out = vec![0.0; rows * columns];
        Product {
            out: &mut out,
            adds: false,
            lhs: Strided {
                values: values(lhs),
                row_stride: inner,
                column_stride: 1,
            },
            rhs: values(rhs),
            rows,
            inner,
            columns,
        }
        .run();
        tensor(out, [rows, columns].into())
    }

    /// Computes `lhsᵀ · rhs`.
    fn transposed_product(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
        let ([inner, rows], columns) = (dims(lhs), width(rhs));
        if rows > NARROW {
            return Flex::float_matmul(lhs.transpose(0, 1), rhs.clone());
        }
        let mut out = vec![0.0; rows * columns];
        Product {
            out: &mut out,
            adds: false,
            lhs: Strided {
                values: values(lhs),
                row_stride: 1,
                column_stride: rows,
            },
            rhs: values(rhs),
            rows,
            inner,
            columns,
        }
        .run();
        tensor(out, [rows, columns].into())
    }

    /// Computes `sum + scaling · lhs · rhs`.
    fn add_scaled_product(
        mut sum: FlexTensor,
        lhs: &FlexTensor,
        rhs: &FlexTensor,
        scaling: f32,
    ) -> FlexTensor {
        let ([rows, inner], columns) = (dims(lhs), width(rhs));
        let lhs = scaled(lhs.clone(), scaling);
        if inner > NARROW {
            return Flex::float_add(sum, Flex::float_matmul(lhs, rhs.clone()));
        }
        Product {
            out: sum.storage_mut::<f32>(),
            adds: true,
            lhs: Strided {
                values: values(&lhs),
                row_stride: inner,
                column_stride: 1,
            },
            rhs: values(rhs),
            rows,
            inner,
            columns,
        }
        .run();
        sum
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_same, noise};
    use burn::tensor::Device;

    #[test]
    fn the_loop_equals_the_plain_sum() {
        for (rows, inner, out, rank) in [
            (1, 8, 5, 1),
            (7, 33, 50, 16),
            (40, 64, 20, 4),
            (70, 90, 130, 64),
            (70, 90, 130, 80),
        ] {
            let weight = noise([out, inner], 6, &Device::default());
            let shaped = |[x, a, b]: [Tensor<1>; 3]| {
                (
                    x.reshape([rows, inner]),
                    a.reshape([rank, inner]),
                    b.reshape([out, rank]),
                )
            };
            assert_same(
                &format!("{rows} rows of {inner} to {out}, rank {rank}"),
                [rows * inner, rank * inner, out * rank],
                |inputs| {
                    let (x, a, b) = shaped(inputs);
                    lora_linear(x, weight.clone(), a, b, 0.25).flatten(0, 1)
                },
                |inputs| {
                    let (x, a, b) = shaped(inputs);
                    let low = low_rank(x.clone(), a, b, 0.25);
                    (x.matmul(weight.clone().transpose()) + low).flatten(0, 1)
                },
            );
        }
    }
}
