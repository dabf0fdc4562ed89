//! Attention of few queries, as of a new token behind a cache.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use super::few_rows::FewRows;
use super::product::{Product, Strided};
use super::simd::{dense, dims, tensor, threads, values, vectorized};
use super::softmax::{MaskRows, softmax_row};

/// `softmax(scale · query · keyᵀ) · value`, where what `mask` marks counts for nothing. Keys and values are read where
/// they lie, each once for all the queries that share them.
///
/// # Shapes
///
/// - query and output: `[batch, heads, queries, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`, which may be a part of a larger tensor
/// - mask: `[batch, 1, queries, keys]`
pub(super) fn attention(
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    mask: &FlexTensor,
    scale: f32,
) -> FlexTensor {
    /// So few numbers are read sooner than a second thread has begun.
    const FEW: usize = 1 << 15;
    let query = dense(query);
    let sizes: [usize; 4] = dims(&query);
    let [batch, heads, queries, head_dim] = sizes;
    let [_, kv_heads, keys, _] = dims(&key);
    let rows = heads / kv_heads * queries;
    let mask = MaskRows::new(mask, [batch, heads, queries, keys]);
    let (key, value) = (whole_matrices(key), whole_matrices(value));
    let (key, value) = (Matrices::of(&key), Matrices::of(&value));
    let queries = values(&query);
    let mut out = vec![0.0; queries.len()];
    let n_matrices = batch * kv_heads;
    let share = n_matrices.div_ceil(threads(n_matrices * keys * head_dim, FEW));
    let width = rows * head_dim;
    let attend = |(part, out): (usize, &mut [f32])| {
        let mut scores = vec![0.0; rows * keys];
        for (place, out) in out.chunks_exact_mut(width).enumerate() {
            let matrix_idx = part * share + place;
            FewRows {
                out: &mut scores,
                lhs: &queries[matrix_idx * width..(matrix_idx + 1) * width],
                rhs: key.get(matrix_idx),
                inner: head_dim,
            }
            .run();
            vectorized(
                #[inline(always)]
                || {
                    for (row_idx, row) in scores.chunks_exact_mut(keys).enumerate() {
                        softmax_row(row, mask.row(matrix_idx * rows + row_idx), scale);
                    }
                },
            );
            Product {
                out,
                adds: false,
                lhs: Strided {
                    values: &scores,
                    row_stride: keys,
                    column_stride: 1,
                },
                rhs: value.get(matrix_idx),
                rows,
                inner: keys,
                columns: head_dim,
            }
            .run();
        }
    };
    let parts = out.chunks_mut(share * width).enumerate();
    if share == n_matrices {
        parts.for_each(attend);
    } else {
        out.par_chunks_mut(share * width)
            .enumerate()
            .for_each(attend);
    }
    tensor(out, Shape::from(sizes))
}

/// The tensor with the matrices of its last two dimensions in order.
fn whole_matrices(tensor: FlexTensor) -> FlexTensor {
    let layout = tensor.layout();
    let columns = layout.shape()[3] as isize;
    if matches!(*layout.strides(), [_, _, row, 1] if row == columns) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The matrices of the last two of four dimensions.
struct Matrices<'a> {
    values: &'a [f32],
    start: isize,
    /// How far apart neighbours in the first and in the second dimension are.
    steps: [isize; 2],
    /// The size of the second dimension.
    count: usize,
    len: usize,
}

impl<'a> Matrices<'a> {
    /// Those of a tensor that has [whole ones](whole_matrices).
    fn of(tensor: &'a FlexTensor) -> Self {
        let [_, count, rows, columns]: [usize; 4] = dims(tensor);
        let layout = tensor.layout();
        let strides = layout.strides();
        Self {
            values: tensor.storage(),
            start: layout.start_offset() as isize,
            steps: [strides[0], strides[1]],
            count,
            len: rows * columns,
        }
    }

    /// The one with this number, counted through both dimensions.
    fn get(&self, matrix_idx: usize) -> &'a [f32] {
        let (first, second) = (matrix_idx / self.count, matrix_idx % self.count);
        let start = self.start + first as isize * self.steps[0] + second as isize * self.steps[1];
        &self.values[start as usize..][..self.len]
    }
}
