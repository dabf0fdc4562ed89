//! A linear layer, and a frozen one with the factors of LoRA.

use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::ops::FloatTensorOps;

use crate::kernels::FEW_ROWS;
use crate::kernels::few_rows::{few_rows, readers};
use crate::kernels::product::{Product, Strided};
use crate::kernels::simd::{dense, dims, tensor, values, width};

/// Above this rank a general product is faster.
const NARROW: usize = 64;

/// `x · weightᵀ`
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out, in]`
pub(crate) fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
    let [rows, inner] = dims(&x);
    let [columns, _] = dims(&weight);
    // The general product of one row is as fast, but in one thread.
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

/// The gradients of [`linear`] to x and weight; that of the weight has its layout, so that it can be added to and
/// averaged without a copy.
pub(crate) fn linear_gradients(
    [x, weight]: [FlexTensor; 2],
    grad: FlexTensor,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let to_weight = wanted[1].then(|| Flex::float_matmul(grad.transpose(0, 1), x));
    let to_x = wanted[0].then(|| Flex::float_matmul(grad, weight));
    [to_x, to_weight]
}

/// What [`gradients`] needs of the forward pass.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    pub(crate) x: FlexTensor,
    pub(crate) weight: FlexTensor,
    pub(crate) lora_a: FlexTensor,
    pub(crate) lora_b: FlexTensor,
    /// `x · lora_aᵀ`, `[rows, rank]`
    pub(crate) low: FlexTensor,
    pub(crate) scaling: f32,
}

/// `x · weightᵀ + scaling · (x · lora_aᵀ) · lora_bᵀ`, and what the gradients need.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out, in]`
/// - lora_a: `[rank, in]`
/// - lora_b: `[out, rank]`
pub(crate) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    lora_a: FlexTensor,
    lora_b: FlexTensor,
    scaling: f32,
) -> (FlexTensor, LowRank) {
    let (x, lora_a, lora_b) = (dense(x), dense(lora_a), dense(lora_b));
    let low = product(&x, &turned(&lora_a));
    let out = linear(x.clone(), weight.clone());
    let out = add_scaled_product(out, &low, &turned(&lora_b), scaling);
    let saved = LowRank {
        x,
        weight,
        lora_a,
        lora_b,
        low,
        scaling,
    };
    (out, saved)
}

/// The gradients to x, lora_a and lora_b; the weight is frozen.
pub(crate) fn gradients(
    saved: LowRank,
    grad: FlexTensor,
    wanted: [bool; 4],
) -> [Option<FlexTensor>; 4] {
    let grad = dense(grad);
    let to_low = scaled(product(&grad, &saved.lora_b), saved.scaling); // [rows, rank]
    let to_x = wanted[0].then(|| {
        let to_x = Flex::float_matmul(grad.clone(), saved.weight);
        add_scaled_product(to_x, &to_low, &saved.lora_a, 1.0)
    });
    let to_a = wanted[2].then(|| turned_product(&to_low, &saved.x)); // [rank, in]
    let to_b = wanted[3].then(|| {
        let turned_to_b = turned_product(&scaled(saved.low, saved.scaling), &grad); // [rank, out]
        turned(&turned_to_b)
    });
    [to_x, None, to_a, to_b]
}

/// The same matrix with rows for columns.
fn turned(matrix: &FlexTensor) -> FlexTensor {
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

/// `lhs · rhs`
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

/// `lhsᵀ · rhs`
fn turned_product(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
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

/// `sum + scaling · lhs · rhs`
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
