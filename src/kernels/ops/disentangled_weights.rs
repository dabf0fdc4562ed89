//! The attention weights of disentangled attention (DeBERTa).

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, DType, Tensor};

use crate::kernels::ops::masked_softmax::masked_softmax;
use crate::kernels::ops::matmul::matmul;
use crate::kernels::supports;

/// Computes `softmax(query · keyᵀ + query · of_keysᵀ + key · of_queriesᵀ)` in f32, where each position term is taken at the
/// distance of its pair of tokens; masked keys get weight 0.
///
/// # Shapes
///
/// - query, key: `[heads, batch, seq, head_dim]`
/// - of_keys, of_queries: `[heads, 2 · seq, head_dim]`, position vectors by distance from `seq - 1` down, `query - key` for
///   the former and `key - query` for the latter
/// - mask: `[1, batch, 1, seq]`, true where a key is padding
/// - output: `[heads, batch, seq, seq]`
pub(crate) fn disentangled_weights(
    query: Tensor<4>,
    key: Tensor<4>,
    of_keys: Option<Tensor<3>>,
    of_queries: Option<Tensor<3>>,
    mask: &Tensor<4, Bool>,
) -> Tensor<4> {
    let scores = matmul(query.clone(), key.clone().swap_dims(2, 3));
    let by_query = of_keys.map(|positions| with_all_distances(query, positions));
    let by_key = of_queries.map(|positions| with_all_distances(key, positions));
    match (by_query, by_key) {
        (Some(by_query), Some(by_key)) if supports(&scores) => {
            softmax(scores, by_query, by_key, mask)
        }
        (by_query, by_key) => plain_softmax(scores, by_query, by_key, mask),
    }
}

/// Multiplies each token with the position vectors of all distances.
///
/// # Shapes
///
/// - tokens: `[heads, batch, seq, head_dim]`
/// - positions: `[heads, 2 · seq, head_dim]`
/// - output: `[heads, batch · seq, 2 · seq]`; in the row of token `i` the distance to token `j` is at `seq - 1 - i + j`
fn with_all_distances(tokens: Tensor<4>, positions: Tensor<3>) -> Tensor<3> {
    let [heads, batch, seq, head_dim] = tokens.dims();
    let tokens = tokens.reshape([heads, batch * seq, head_dim]);
    matmul(tokens, positions.swap_dims(1, 2))
}

/// Adds both products [with all distances](with_all_distances) to the scores and takes the softmax, in one pass.
fn softmax(
    scores: Tensor<4>,
    by_query: Tensor<3>,
    by_key: Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Tensor<4> {
    let [by_query, by_key] = [by_query, by_key].map(Tensor::into_dispatch);
    let (scores, mask) = (scores.into_dispatch(), mask.clone().into_dispatch());
    let out = Dispatch::disentangled_softmax(scores, by_query, by_key, mask);
    Tensor::from_dispatch(out)
}

fn plain_softmax(
    mut scores: Tensor<4>,
    by_query: Option<Tensor<3>>,
    by_key: Option<Tensor<3>>,
    mask: &Tensor<4, Bool>,
) -> Tensor<4> {
    let [_, batch, seq, _] = scores.dims();
    if let Some(by_query) = by_query {
        scores = scores + by_distance(by_query, batch, seq);
    }
    if let Some(by_key) = by_key {
        scores = scores + by_distance(by_key, batch, seq).swap_dims(2, 3);
    }
    masked_softmax(scores.cast(DType::F32), mask, 1.0)
}

/// Picks from each token's products with all distances those with its distance to each other token.
///
/// Row `i` has to be shifted by `i`. Reading the rows as one sequence and cutting it into rows that are one shorter does
/// that, so nothing is gathered.
///
/// # Shapes
///
/// - products: `[heads, batch · seq, 2 · seq]`
/// - output: `[heads, batch, seq, seq]`
fn by_distance(products: Tensor<3>, batch: usize, seq: usize) -> Tensor<4> {
    let [heads, _, _] = products.dims();
    products
        .reshape([heads, batch, 2 * seq * seq])
        .narrow(2, seq - 1, seq * (2 * seq - 1))
        .reshape([heads, batch, seq, 2 * seq - 1])
        .narrow(3, 0, seq)
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait DisentangledSoftmax: Backend {
    fn disentangled_softmax(
        scores: FloatTensor<Self>,
        by_query: FloatTensor<Self>,
        by_key: FloatTensor<Self>,
        mask: BoolTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use std::ops::Range;

    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;
    use burn::tensor::Shape;

    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::softmax::{MaskRows, softmax_row, softmax_row_gradient};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{dense, dims, owned, tensor, values, values_mut};

    impl super::DisentangledSoftmax for Flex {
        fn disentangled_softmax(
            scores: FlexTensor,
            by_query: FlexTensor,
            by_key: FlexTensor,
            mask: FlexTensor,
        ) -> FlexTensor {
            forward(scores, by_query, by_key, &mask)
        }
    }

    impl<C: CheckpointStrategy> super::DisentangledSoftmax for Autodiff<Flex, C> {
        fn disentangled_softmax(
            scores: FloatTensor<Self>,
            by_query: FloatTensor<Self>,
            by_key: FloatTensor<Self>,
            mask: FlexTensor,
        ) -> FloatTensor<Self> {
            record::<C, _, 3>(
                [scores, by_query, by_key],
                |[scores, by_query, by_key]| {
                    let weights = forward(scores, by_query, by_key, &mask);
                    (weights.clone(), (weights, mask))
                },
                |(weights, mask), grad, _| gradients(&weights, &mask, grad).map(Some),
            )
        }
    }

    fn forward(
        scores: FlexTensor,
        by_query: FlexTensor,
        by_key: FlexTensor,
        mask: &FlexTensor,
    ) -> FlexTensor {
        let (mut scores, by_query, by_key) = (owned(scores), dense(by_query), dense(by_key));
        let sizes: [usize; 4] = dims(&scores);
        let seq = sizes[3];
        let mask = MaskRows::new(mask, sizes);
        let mut transposed = vec![0.0; seq * seq];
        let matrices = values_mut(&mut scores).chunks_exact_mut(seq * seq);
        let products = values(&by_query)
            .chunks_exact(2 * seq * seq)
            .zip(values(&by_key).chunks_exact(2 * seq * seq));
        vectorized(
            #[inline(always)]
            || {
                for (matrix_idx, (scores, (by_query, by_key))) in matrices.zip(products).enumerate()
                {
                    transpose(seq, |key| of_distances(by_key, seq, key), &mut transposed);
                    let rows = scores
                        .chunks_exact_mut(seq)
                        .zip(transposed.chunks_exact(seq));
                    for (query, (row, by_key)) in rows.enumerate() {
                        let by_query = of_distances(by_query, seq, query);
                        for ((score, &by_query), &by_key) in
                            row.iter_mut().zip(by_query).zip(by_key)
                        {
                            *score += by_query + by_key;
                        }
                        softmax_row(row, mask.row(matrix_idx * seq + query), 1.0);
                    }
                }
            },
        );
        scores
    }

    /// Returns the gradients of scores, by_query and by_key, from the weights that are the result.
    fn gradients(weights: &FlexTensor, mask: &FlexTensor, grad: FlexTensor) -> [FlexTensor; 3] {
        let mut grad = owned(grad);
        let sizes: [usize; 4] = dims(&grad);
        let [heads, batch, _, seq] = sizes;
        let mask = MaskRows::new(mask, sizes);
        let to_scores = values_mut(&mut grad);
        let count = 2 * to_scores.len();
        let (mut to_query, mut to_key) = (vec![0.0; count], vec![0.0; count]);
        let mut transposed = vec![0.0; seq * seq];
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
                    transpose(
                        seq,
                        |query| &to_scores[query * seq..(query + 1) * seq],
                        &mut transposed,
                    );
                    for (key, row) in transposed.chunks_exact(seq).enumerate() {
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

    /// Returns the products of a token with the position vectors of its distances to tokens 0, 1, …
    #[inline(always)]
    fn of_distances(products: &[f32], seq: usize, token: usize) -> &[f32] {
        &products[token * 2 * seq..][place_of_distances(seq, token)]
    }

    #[inline(always)]
    fn of_distances_mut(products: &mut [f32], seq: usize, token: usize) -> &mut [f32] {
        &mut products[token * 2 * seq..][place_of_distances(seq, token)]
    }

    /// Range of those distances in the row of a token.
    #[inline(always)]
    fn place_of_distances(seq: usize, token: usize) -> Range<usize> {
        seq - 1 - token..2 * seq - 1 - token
    }

    /// Transposes a matrix, a few columns at a time so that the part being written stays in the cache.
    #[inline(always)]
    fn transpose<'a>(seq: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
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
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn the_loop_equals_the_plain_expression() {
        let padding = TensorData::from([[false, false, false, true, true], [false; 5], [true; 5]]);
        let padding = Tensor::<2, Bool>::from_data(padding, &Device::default());
        let padding = padding.reshape([1, 3, 1, 5]);
        let shaped = |[scores, by_query, by_key]: [Tensor<1>; 3]| {
            (
                scores.reshape([2, 3, 5, 5]),
                by_query.reshape([2, 15, 10]),
                by_key.reshape([2, 15, 10]),
            )
        };
        assert_same(
            "two heads, three texts",
            [2 * 3 * 5 * 5, 2 * 15 * 10, 2 * 15 * 10],
            |inputs| {
                let (scores, by_query, by_key) = shaped(inputs);
                softmax(scores, by_query, by_key, &padding).flatten(0, 3)
            },
            |inputs| {
                let (scores, by_query, by_key) = shaped(inputs);
                plain_softmax(scores, Some(by_query), Some(by_key), &padding).flatten(0, 3)
            },
        );
    }
}
