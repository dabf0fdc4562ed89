//! Attention of few queries, as of a new token behind a cache.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use crate::kernels::few_rows::FewRows;
use crate::kernels::product::{Product, Strided};
use crate::kernels::simd::{dense, dims, tensor, threads, values, vectorized};
use crate::kernels::softmax::{MaskRows, softmax_row};
use crate::nn::decoder::cache::SharedPrompt;

/// `softmax(scale · query · keyᵀ) · value`, where what `mask` marks counts for nothing. Keys and values are read where
/// they lie, each once for all the queries that share them: those of the heads, and of rows that begin with one prompt.
///
/// # Shapes
///
/// - query and output: `[batch, heads, queries, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`, which may be a part of a larger tensor
/// - mask: `[batch, 1, queries, keys]`
pub(crate) fn attention(
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    mask: &FlexTensor,
    prompts: &[SharedPrompt],
    scale: f32,
) -> FlexTensor {
    /// So few numbers are read sooner than a second thread has begun.
    const FEW: usize = 1 << 15;
    let query = dense(query);
    let sizes: [usize; 4] = dims(&query);
    let [batch, heads, queries, head_dim] = sizes;
    let [_, kv_heads, keys, _] = dims(&key);
    let (key, value) = (whole_matrices(key), whole_matrices(value));
    let cached = Cached {
        queries: values(&query),
        key: Matrices::of(&key),
        value: Matrices::of(&value),
        mask: MaskRows::new(mask, [batch, heads, queries, keys]),
        rows: heads / kv_heads * queries,
        kv_heads,
        keys,
        head_dim,
        scale,
    };
    let attend = |part: usize| cached.attend(&prompts[part / kv_heads], part % kv_heads);
    let n_parts = prompts.len() * kv_heads;
    let parts: Vec<Vec<f32>> = if threads(batch * kv_heads * keys * head_dim, FEW) == 1 {
        (0..n_parts).map(attend).collect()
    } else {
        (0..n_parts).into_par_iter().map(attend).collect()
    };
    let mut out = vec![0.0; cached.queries.len()];
    let size = cached.rows * head_dim;
    for (part_idx, part) in parts.iter().enumerate() {
        let (prompt, head) = (&prompts[part_idx / kv_heads], part_idx % kv_heads);
        for (&row, part) in prompt.rows.iter().zip(part.chunks_exact(size)) {
            let place = cached.matrix(row, head) * size;
            out[place..place + size].copy_from_slice(part);
        }
    }
    tensor(out, Shape::from(sizes))
}

/// New queries, and the keys and values they look at.
struct Cached<'a> {
    queries: &'a [f32],
    key: Matrices<'a>,
    value: Matrices<'a>,
    mask: MaskRows<'a>,
    /// How many queries look at a matrix of keys in each row of the batch.
    rows: usize,
    kv_heads: usize,
    keys: usize,
    head_dim: usize,
    scale: f32,
}

impl Cached<'_> {
    /// The matrix of keys, and of values, that a head of a row looks at.
    fn matrix(&self, row: usize, head: usize) -> usize {
        row * self.kv_heads + head
    }

    /// What the rows of a prompt see with a head of keys, `[rows of the prompt, self.rows, head_dim]`.
    fn attend(&self, prompt: &SharedPrompt, head: usize) -> Vec<f32> {
        let SharedPrompt { rows, columns } = prompt;
        let (size, width) = (self.rows * self.head_dim, self.keys - columns.start);
        let (own, shared) = (columns.end..self.keys, columns.len());
        let matrix = |row: usize| self.matrix(row, head);
        let queries: Vec<f32> = rows
            .iter()
            .flat_map(|&row| &self.queries[matrix(row) * size..][..size])
            .copied()
            .collect();
        let mut scores = vec![0.0; rows.len() * self.rows * width];
        let keys = self.key.rows(matrix(rows[0]), columns);
        self.multiply(&queries, keys, &mut scores, 0..shared);
        let parts = scores.chunks_exact_mut(self.rows * width);
        for ((&row, queries), scores) in rows.iter().zip(queries.chunks_exact(size)).zip(parts) {
            let keys = self.key.rows(matrix(row), &own);
            self.multiply(queries, keys, scores, shared..width);
            let first = matrix(row) * self.rows;
            vectorized(
                #[inline(always)]
                || {
                    for (place, scores) in scores.chunks_exact_mut(width).enumerate() {
                        let mask = &self.mask.row(first + place)[columns.start..];
                        softmax_row(scores, mask, self.scale);
                    }
                },
            );
        }
        let mut out = vec![0.0; rows.len() * size];
        let values = self.value.rows(matrix(rows[0]), columns);
        self.add_weighted(&scores, width, values, &mut out);
        let parts = scores.chunks_exact(self.rows * width);
        for ((&row, weights), out) in rows.iter().zip(parts).zip(out.chunks_exact_mut(size)) {
            let values = self.value.rows(matrix(row), &own);
            self.add_weighted(&weights[shared..], width, values, out);
        }
        out
    }

    /// The products of queries with some keys, into some columns of their scores.
    fn multiply(&self, queries: &[f32], keys: &[f32], scores: &mut [f32], columns: Range<usize>) {
        if columns.is_empty() {
            return;
        }
        let rows = queries.len() / self.head_dim;
        let width = scores.len() / rows;
        let mut products = vec![0.0; rows * columns.len()];
        FewRows {
            out: &mut products,
            lhs: queries,
            rhs: keys,
            inner: self.head_dim,
        }
        .run();
        let products = products.chunks_exact(columns.len());
        for (scores, products) in scores.chunks_exact_mut(width).zip(products) {
            scores[columns.clone()].copy_from_slice(products);
        }
    }

    /// Adds some values to what queries see; the weights of each query are `width` apart.
    fn add_weighted(&self, weights: &[f32], width: usize, values: &[f32], out: &mut [f32]) {
        Product {
            adds: true,
            lhs: Strided {
                values: weights,
                row_stride: width,
                column_stride: 1,
            },
            rhs: values,
            rows: out.len() / self.head_dim,
            inner: values.len() / self.head_dim,
            columns: self.head_dim,
            out,
        }
        .run();
    }
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
    /// The size of the second dimension, and of the last.
    count: usize,
    columns: usize,
}

impl<'a> Matrices<'a> {
    /// Those of a tensor that has [whole ones](whole_matrices).
    fn of(tensor: &'a FlexTensor) -> Self {
        let [_, count, _, columns]: [usize; 4] = dims(tensor);
        let layout = tensor.layout();
        let strides = layout.strides();
        Self {
            values: tensor.storage(),
            start: layout.start_offset() as isize,
            steps: [strides[0], strides[1]],
            count,
            columns,
        }
    }

    /// Some rows of the matrix with this number, counted through both dimensions.
    fn rows(&self, matrix_idx: usize, rows: &Range<usize>) -> &'a [f32] {
        let (first, second) = (matrix_idx / self.count, matrix_idx % self.count);
        let start = self.start + first as isize * self.steps[0] + second as isize * self.steps[1];
        &self.values[start as usize..][rows.start * self.columns..rows.end * self.columns]
    }
}
