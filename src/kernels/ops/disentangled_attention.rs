//! Disentangled attention (DeBERTa) from projections to the joined heads, without dropout.

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, Tensor};

use crate::kernels::ops::disentangled_weights::disentangled_weights;
use crate::kernels::ops::matmul::matmul;
use crate::kernels::supports;

/// Computes disentangled attention of queries, keys and values with both position terms.
///
/// Off the tape on a CPU one text and head is computed at a time, so that its scores stay in a core's cache.
///
/// # Shapes
///
/// - query, key, value and output: `[batch, seq, heads · head_dim]`
/// - of_keys, of_queries: `[heads, 2 · seq, head_dim]`, as in [`disentangled_weights`]
/// - mask: `[1, batch, 1, seq]`, true where a key is padding
pub(crate) fn disentangled_attention(
    [query, key, value]: [Tensor<3>; 3],
    [of_keys, of_queries]: [Tensor<3>; 2],
    mask: &Tensor<4, Bool>,
    scale: f64,
) -> Tensor<3> {
    let inputs = [&query, &key, &value, &of_keys, &of_queries];
    if !supports(&query) || inputs.map(Tensor::is_tracked).contains(&true) {
        return plain([query, key, value], [of_keys, of_queries], mask, scale);
    }
    let [query, key, value, of_keys, of_queries] =
        [query, key, value, of_keys, of_queries].map(|x| x.without_autodiff().into_dispatch());
    let (mask, scale) = (mask.clone().into_dispatch(), scale as f32);
    let out = Dispatch::disentangled_attention(query, key, value, of_keys, of_queries, mask, scale);
    Tensor::from_dispatch(out)
}

fn plain(
    [query, key, value]: [Tensor<3>; 3],
    [of_keys, of_queries]: [Tensor<3>; 2],
    mask: &Tensor<4, Bool>,
    scale: f64,
) -> Tensor<3> {
    let [batch, seq, hidden_size] = query.dims();
    let [heads, _, head_dim] = of_keys.dims();
    let dtype = query.dtype();
    // Heads come first, so that the positions of a head are multiplied with all rows of the batch at once.
    let split = |x: Tensor<3>| {
        x.reshape([batch, seq, heads, head_dim])
            .permute([2, 0, 1, 3])
    };
    let [query, key, value] = [query * scale, key, value].map(split);
    let (of_keys, of_queries) = (Some(of_keys), Some(of_queries * scale));
    let weights = disentangled_weights(query, key, of_keys, of_queries, mask).cast(dtype);
    let attended = matmul(weights, value).permute([1, 2, 0, 3]); // [batch, seq, heads, head_dim]
    attended.reshape([batch, seq, hidden_size])
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait DisentangledAttention: Backend {
    fn disentangled_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        of_keys: FloatTensor<Self>,
        of_queries: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;
    use rayon::prelude::*;

    use crate::kernels::cpu::distances::{Scores, distances, padded, place};
    use crate::kernels::cpu::product::{Product, Strided};
    use crate::kernels::cpu::simd::{side_by_side, vectorized};
    use crate::kernels::cpu::softmax::{MaskRows, softmax_weights};
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    impl super::DisentangledAttention for Flex {
        fn disentangled_attention(
            query: FlexTensor,
            key: FlexTensor,
            value: FlexTensor,
            of_keys: FlexTensor,
            of_queries: FlexTensor,
            mask: FlexTensor,
            scale: f32,
        ) -> FlexTensor {
            let [query, key, value] = [query, key, value].map(dense);
            let [batch, seq, width] = dims(&query);
            let [heads, _, head_dim] = dims(&of_keys);
            let shared = Shared {
                seq,
                width,
                head_dim,
                scale,
                of_keys: &transposed_heads(&of_keys, seq, |place| place),
                of_queries: &transposed_heads(&of_queries, seq, |place| 2 * seq - 2 - place),
            };
            let mask = MaskRows::new(&mask, [heads, batch, seq, seq]);
            let inputs = [&query, &key, &value].map(values);
            let mut out = vec![0.0; batch * seq * width];
            out.par_chunks_mut(seq * width).enumerate().for_each_init(
                || Scratch::new(seq, head_dim),
                |scratch, (text_idx, out)| {
                    let place = text_idx * seq * width..(text_idx + 1) * seq * width;
                    let inputs = inputs.map(|input| &input[place.clone()]);
                    let mask = mask.row(text_idx * seq);
                    for head in 0..heads {
                        shared.attend(head, inputs, mask, scratch, out);
                    }
                },
            );
            tensor(out, Shape::new([batch, seq, width]))
        }
    }

    /// Transposes the position vectors of each head to `[heads, head_dim, distances(seq)]`; `row` maps `key - query + seq - 1`
    /// to the row of the vector of that distance.
    fn transposed_heads(rows: &FlexTensor, seq: usize, row: impl Fn(usize) -> usize) -> Vec<f32> {
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

    /// Transposes the first `columns` values of `count` rows that are `stride` apart; pads each result row to whole vectors.
    fn transpose_rows(rows: &[f32], stride: usize, count: usize, columns: usize, out: &mut [f32]) {
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

    /// Describes the product of `rows` rows with `rhs`, `[inner, columns]`.
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

    /// Parameters that all texts of a batch share.
    struct Shared<'a> {
        seq: usize,
        width: usize,
        head_dim: usize,
        scale: f32,
        of_keys: &'a [f32],
        of_queries: &'a [f32],
    }

    /// Buffers for one head of one text.
    struct Scratch {
        /// `[head_dim, padded(seq)]`
        keys: Vec<f32>,
        /// `[seq, head_dim]`
        values: Vec<f32>,
        /// `[seq, padded(seq)]`
        scores: Vec<f32>,
        /// `[seq, head_dim]`
        attended: Vec<f32>,
        /// The factor that normalizes the weights of each row, `[seq]`
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

    impl Shared<'_> {
        /// Computes attention of one head into its columns of `out`.
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
            transpose_rows(key, width, seq, head_dim, &mut scratch.keys);
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
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn the_loop_equals_the_plain_expression() {
        let device = Device::default();
        for (batch, heads, seq, head_dim) in [(3, 2, 21, 20), (1, 1, 1, 3), (2, 3, 40, 16)] {
            let projections =
                [1, 2, 3].map(|seed| noise([batch, seq, heads * head_dim], seed, &device));
            let positions = [4, 5].map(|seed| noise([heads, 2 * seq, head_dim], seed, &device));
            let padding = (0..batch * seq).map(|idx| idx % seq + 4 * (idx / seq) >= seq);
            let padding = TensorData::new(padding.collect(), [1, batch, 1, seq]);
            let padding = Tensor::from_data(padding, &device);
            let expected = plain(projections.clone(), positions.clone(), &padding, 0.4);
            let got = disentangled_attention(projections, positions, &padding, 0.4);
            got.into_data()
                .assert_approx_eq(&expected.into_data(), Tolerance::<f32>::absolute(1e-5));
        }
    }
}
