//! The scores of disentangled attention and their softmax.
//!
//! Products of tokens with the vectors of all distances come in rows of `2·seq`, from the distance `seq - 1` down; of
//! the row of token `i`, the other token `j` has the place `seq - 1 - i + j`.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use crate::kernels::distances::{Scores, distances, padded, place};
use crate::kernels::product::{Product, Strided};
use crate::kernels::simd::{
    dense, dims, owned, side_by_side, tensor, values, values_mut, vectorized,
};
use crate::kernels::softmax::{MaskRows, softmax_row, softmax_row_gradient, softmax_weights};

/// `softmax(scores + by_query + by_keyᵀ)`, each product at the place of its distance, where what `mask` marks counts for
/// nothing.
///
/// # Shapes
///
/// - scores and output: `[heads, batch, seq, seq]`, queries by keys
/// - by_query, by_key: `[heads, batch · seq, 2 · seq]`
/// - mask: `[1, batch, 1, seq]`
pub(crate) fn forward(
    scores: FlexTensor,
    by_query: FlexTensor,
    by_key: FlexTensor,
    mask: &FlexTensor,
) -> FlexTensor {
    let (mut scores, by_query, by_key) = (owned(scores), dense(by_query), dense(by_key));
    let sizes: [usize; 4] = dims(&scores);
    let seq = sizes[3];
    let mask = MaskRows::new(mask, sizes);
    let mut turned = vec![0.0; seq * seq];
    let matrices = values_mut(&mut scores).chunks_exact_mut(seq * seq);
    let products = values(&by_query)
        .chunks_exact(2 * seq * seq)
        .zip(values(&by_key).chunks_exact(2 * seq * seq));
    vectorized(
        #[inline(always)]
        || {
            for (matrix_idx, (scores, (by_query, by_key))) in matrices.zip(products).enumerate() {
                turn(
                    seq,
                    |key| of_distances(by_key, 2 * seq, seq, key),
                    &mut turned,
                );
                let rows = scores.chunks_exact_mut(seq).zip(turned.chunks_exact(seq));
                for (query, (row, by_key)) in rows.enumerate() {
                    let by_query = of_distances(by_query, 2 * seq, seq, query);
                    for ((score, &by_query), &by_key) in row.iter_mut().zip(by_query).zip(by_key) {
                        *score += by_query + by_key;
                    }
                    softmax_row(row, mask.row(matrix_idx * seq + query), 1.0);
                }
            }
        },
    );
    scores
}

/// The gradients of [`forward`] to scores, by_query and by_key, from its result.
pub(crate) fn gradients(
    weights: &FlexTensor,
    mask: &FlexTensor,
    grad: FlexTensor,
) -> [FlexTensor; 3] {
    let mut grad = owned(grad);
    let sizes: [usize; 4] = dims(&grad);
    let [heads, batch, _, seq] = sizes;
    let mask = MaskRows::new(mask, sizes);
    let to_scores = values_mut(&mut grad);
    let count = 2 * to_scores.len();
    let (mut to_query, mut to_key) = (vec![0.0; count], vec![0.0; count]);
    let mut turned = vec![0.0; seq * seq];
    let products = to_query
        .chunks_exact_mut(2 * seq * seq)
        .zip(to_key.chunks_exact_mut(2 * seq * seq));
    let matrices = to_scores
        .chunks_exact_mut(seq * seq)
        .zip(values(weights).chunks_exact(seq * seq));
    vectorized(
        #[inline(always)]
        || {
            for (matrix_idx, ((to_scores, weights), (to_query, to_key))) in
                matrices.zip(products).enumerate()
            {
                let rows = to_scores.chunks_exact_mut(seq);
                for (query, (row, weights)) in rows.zip(weights.chunks_exact(seq)).enumerate() {
                    softmax_row_gradient(row, weights, mask.row(matrix_idx * seq + query), 1.0);
                    of_distances_mut(to_query, seq, query).copy_from_slice(row);
                }
                turn(
                    seq,
                    |query| &to_scores[query * seq..(query + 1) * seq],
                    &mut turned,
                );
                for (key, row) in turned.chunks_exact(seq).enumerate() {
                    of_distances_mut(to_key, seq, key).copy_from_slice(row);
                }
            }
        },
    );
    let by_distance = Shape::new([heads, batch * seq, 2 * seq]);
    [
        grad,
        tensor(to_query, by_distance.clone()),
        tensor(to_key, by_distance),
    ]
}

/// Of rows of `width`, a token's products with the vectors of its distances to all others, in their order.
#[inline(always)]
fn of_distances(products: &[f32], width: usize, seq: usize, token: usize) -> &[f32] {
    &products[token * width..][place_of_distances(seq, token)]
}

#[inline(always)]
fn of_distances_mut(products: &mut [f32], seq: usize, token: usize) -> &mut [f32] {
    &mut products[token * 2 * seq..][place_of_distances(seq, token)]
}

/// Where a token's distances to all others are in its row.
#[inline(always)]
fn place_of_distances(seq: usize, token: usize) -> Range<usize> {
    seq - 1 - token..2 * seq - 1 - token
}

/// Writes the rows as columns, a few at a time so that what is written stays near.
#[inline(always)]
fn turn<'a>(seq: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    const STRIPE: usize = 8;
    for start in (0..seq).step_by(STRIPE) {
        let end = (start + STRIPE).min(seq);
        for row_idx in 0..seq {
            for (place, &value) in row(row_idx)[start..end].iter().enumerate() {
                out[(start + place) * seq + row_idx] = value;
            }
        }
    }
}

/// Attention from projections to what the heads see, a text and a head at a time, so that its scores stay in a core's cache.
///
/// # Shapes
///
/// - query, key, value and output: `[batch, seq, heads · head_dim]`
/// - of_keys, of_queries: `[heads, 2 · seq, head_dim]`, what queries and keys are multiplied with by their distance
/// - mask: `[1, batch, 1, seq]`
pub(crate) fn attention(
    [query, key, value]: [FlexTensor; 3],
    [of_keys, of_queries]: [FlexTensor; 2],
    mask: &FlexTensor,
    scale: f32,
) -> FlexTensor {
    let [query, key, value] = [query, key, value].map(dense);
    let [batch, seq, width] = dims(&query);
    let [heads, _, head_dim] = dims(&of_keys);
    let text = Text {
        seq,
        width,
        head_dim,
        scale,
        of_keys: &turned_heads(&of_keys, seq, |place| place),
        of_queries: &turned_heads(&of_queries, seq, |place| 2 * seq - 2 - place),
    };
    let mask = MaskRows::new(mask, [heads, batch, seq, seq]);
    let inputs = [&query, &key, &value].map(values);
    let mut out = vec![0.0; batch * seq * width];
    out.par_chunks_mut(seq * width).enumerate().for_each_init(
        || Scratch::new(seq, head_dim),
        |scratch, (text_idx, out)| {
            let place = text_idx * seq * width..(text_idx + 1) * seq * width;
            let inputs = inputs.map(|input| &input[place.clone()]);
            let mask = mask.row(text_idx * seq);
            for head in 0..heads {
                text.attend(head, inputs, mask, scratch, out);
            }
        },
    );
    tensor(out, Shape::new([batch, seq, width]))
}

/// Each head's vectors of all distances as columns, `[heads, head_dim, distances(seq)]`; `row` tells which belongs to the
/// key that comes so many places behind the first that is as far away as can be.
fn turned_heads(rows: &FlexTensor, seq: usize, row: impl Fn(usize) -> usize) -> Vec<f32> {
    let rows = dense(rows.clone());
    let [heads, count, head_dim] = dims(&rows);
    let mut out = vec![0.0; heads * head_dim * distances(seq)];
    let heads = values(&rows).chunks_exact(count * head_dim);
    for (rows, out) in heads.zip(out.chunks_exact_mut(head_dim * distances(seq))) {
        for behind in 0..2 * seq - 1 {
            let vector = &rows[row(behind) * head_dim..][..head_dim];
            let first = place(seq, seq - 1, 0);
            for (out, &value) in out.chunks_exact_mut(distances(seq)).zip(vector) {
                out[first + behind] = value;
            }
        }
    }
    out
}

/// Writes the first `columns` numbers of `count` rows that are `stride` apart as columns, padded to whole vectors.
fn turn_rows(rows: &[f32], stride: usize, count: usize, columns: usize, out: &mut [f32]) {
    const AT_ONCE: usize = 8;
    vectorized(
        #[inline(always)]
        || {
            for first in (0..count).step_by(AT_ONCE) {
                let rows = core::array::from_fn(|place| {
                    let row = (first + place).min(count - 1);
                    &rows[row * stride..row * stride + columns]
                });
                side_by_side::<AT_ONCE>(rows, &mut out[first..], padded(count));
            }
        },
    );
}

/// The product of `rows` rows with `rhs`, `[inner, columns]`.
fn product<'a>(
    rows: usize,
    lhs: Strided<'a>,
    rhs: &'a [f32],
    inner: usize,
    out: &'a mut [f32],
) -> Product<'a> {
    let columns = out.len() / rows;
    Product {
        out,
        adds: false,
        lhs,
        rhs,
        rows,
        inner,
        columns,
    }
}

/// What the texts of a batch have in common.
struct Text<'a> {
    seq: usize,
    width: usize,
    head_dim: usize,
    scale: f32,
    of_keys: &'a [f32],
    of_queries: &'a [f32],
}

/// Where one head's numbers lie for a while.
struct Scratch {
    /// `[head_dim, padded(seq)]`
    keys: Vec<f32>,
    /// `[seq, head_dim]`
    values: Vec<f32>,
    /// `[seq, padded(seq)]`
    scores: Vec<f32>,
    /// `[seq, head_dim]`
    attended: Vec<f32>,
    /// What the weights of each row are to be multiplied with, `[seq]`
    shares: Vec<f32>,
}

impl Scratch {
    fn new(seq: usize, head_dim: usize) -> Self {
        Self {
            keys: vec![0.0; head_dim * padded(seq)],
            values: vec![0.0; seq * head_dim],
            scores: vec![0.0; seq * padded(seq)],
            attended: vec![0.0; seq * head_dim],
            shares: vec![0.0; seq],
        }
    }
}

impl Text<'_> {
    /// What a head sees, into its columns of `out`.
    fn attend(
        &self,
        head: usize,
        [query, key, value]: [&[f32]; 3],
        mask: &[u8],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let Self {
            seq,
            width,
            head_dim,
            ..
        } = *self;
        let columns = head * head_dim;
        let [query, key, value] = [query, key, value].map(|input| &input[columns..]);
        let positions = |all| -> &[f32] {
            let all: &[f32] = all;
            let size = head_dim * distances(seq);
            &all[head * size..(head + 1) * size]
        };
        turn_rows(key, width, seq, head_dim, &mut scratch.keys);
        let rows = scratch.values.chunks_exact_mut(head_dim);
        for (row, value) in rows.zip(value.chunks(width)) {
            row.copy_from_slice(&value[..head_dim]);
        }
        let scores = Scores {
            out: &mut scratch.scores,
            query,
            stride: width,
            keys: &scratch.keys,
            of_keys: positions(self.of_keys),
            of_queries: positions(self.of_queries),
            seq,
            head_dim,
        };
        scores.run();
        vectorized(
            #[inline(always)]
            || {
                let rows = scratch.scores.chunks_exact_mut(padded(seq));
                for (row, share) in rows.zip(&mut scratch.shares) {
                    row[seq..].fill(f32::NEG_INFINITY);
                    *share = softmax_weights(row, mask, self.scale);
                }
            },
        );
        let (weights, values) = (&scratch.scores, &scratch.values);
        let weights = Strided {
            values: weights,
            row_stride: padded(seq),
            column_stride: 1,
        };
        product(seq, weights, values, seq, &mut scratch.attended).run();
        let rows = scratch.attended.chunks_exact(head_dim).zip(&scratch.shares);
        for ((attended, share), out) in rows.zip(out.chunks_exact_mut(width)) {
            let out = &mut out[columns..columns + head_dim];
            for (out, attended) in out.iter_mut().zip(attended) {
                *out = attended * share;
            }
        }
    }
}
