//! The scores of disentangled attention and their softmax.
//!
//! Products of tokens with the vectors of all distances come in rows of `2·seq`, from the distance `seq - 1` down; of
//! the row of token `i`, the other token `j` has the place `seq - 1 - i + j`.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use super::simd::{dense, dims, owned, tensor, values, values_mut, vectorized};
use super::softmax::{MaskRows, softmax_row, softmax_row_gradient};

/// `softmax(scores + by_query + by_keyᵀ)`, each product at the place of its distance, where what `mask` marks counts for
/// nothing.
///
/// # Shapes
///
/// - scores and output: `[heads, batch, seq, seq]`, queries by keys
/// - by_query, by_key: `[heads, batch · seq, 2 · seq]`
/// - mask: `[1, batch, 1, seq]`
pub(super) fn forward(
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
                turn(seq, |key| of_distances(by_key, seq, key), &mut turned);
                let rows = scores.chunks_exact_mut(seq).zip(turned.chunks_exact(seq));
                for (query, (row, by_key)) in rows.enumerate() {
                    let by_query = of_distances(by_query, seq, query);
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
pub(super) fn gradients(
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

/// A token's products with the vectors of its distances to all others, in their order.
#[inline(always)]
fn of_distances(products: &[f32], seq: usize, token: usize) -> &[f32] {
    let start = token * 2 * seq + seq - 1 - token;
    &products[start..start + seq]
}

#[inline(always)]
fn of_distances_mut(products: &mut [f32], seq: usize, token: usize) -> &mut [f32] {
    let start = token * 2 * seq + seq - 1 - token;
    &mut products[start..start + seq]
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
