//! Grouped-query attention.

use std::ops::Range;

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, DType, Tensor};

use crate::kernels::ops::masked_softmax::masked_softmax;
use crate::kernels::ops::matmul::matmul;
use crate::kernels::{FEW_ROWS, is_cpu, supports};

/// Queries, keys, values and their mask.
#[derive(Clone, Debug)]
pub struct Attend {
    /// `[batch, heads, queries, head_dim]`
    pub query: Tensor<4>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub key: Tensor<4>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub value: Tensor<4>,
    /// `[batch, 1, queries, keys]`, true where attention is forbidden
    pub mask: Tensor<4, Bool>,
}

/// Rows of a batch whose keys and values begin with the same prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedPrompt {
    /// Indices of the rows.
    pub(crate) rows: Vec<usize>,
    /// The columns of the prompt, with equal keys and values in all these rows; all columns before it are padding.
    pub(crate) columns: Range<usize>,
}

impl SharedPrompt {
    /// Describes a row that shares nothing.
    pub(crate) fn none(row: usize) -> Self {
        Self {
            rows: vec![row],
            columns: 0..0,
        }
    }
}

/// What becomes of the products of queries and keys before the softmax.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scores {
    /// They are multiplied by this.
    pub(crate) scale: f64,
    /// They are capped at plus and minus this then, `cap · tanh(score / cap)`.
    pub(crate) softcap: Option<f64>,
}

/// Computes `softmax(scale · query · keyᵀ) · value` with the softmax in f32, on a CPU the products, too.
///
/// `prompts` lists every row once. On a CPU, for few queries off the tape (a decoding step), keys and values are read in
/// place, and each once for all queries that share them: those of the heads of a group and of the rows of a prompt.
/// Elsewhere `prompts` is not called.
///
/// # Shapes
///
/// - output: `[batch, heads, queries, head_dim]`
pub(crate) fn attention(
    input: Attend,
    form: Scores,
    prompts: impl FnOnce() -> Vec<SharedPrompt>,
) -> Tensor<4> {
    let dtype = input.query.dtype();
    if dtype != DType::F32 && is_cpu(&input.query.device()) {
        // A product in bf16 is rounded, and the exponential of a large score makes much of that.
        let input = Attend {
            query: input.query.cast(DType::F32),
            key: input.key.cast(DType::F32),
            value: input.value.cast(DType::F32),
            mask: input.mask,
        };
        return attention(input, form, prompts).cast(dtype);
    }
    let tensors = [&input.query, &input.key, &input.value];
    let [[_, heads, queries, _], [_, kv_heads, _, _], _] = tensors.map(Tensor::dims);
    let supported = tensors.iter().all(|x| supports(x) && !x.is_tracked());
    if !supported || form.softcap.is_some() || heads / kv_heads * queries > FEW_ROWS {
        return plain(input, form);
    }
    let Attend {
        query,
        key,
        value,
        mask,
    } = input;
    let [query, key, value] = [query, key, value].map(|x| x.without_autodiff().into_dispatch());
    let (mask, scale) = (mask.into_dispatch(), form.scale as f32);
    let out = Dispatch::attention(query, key, value, mask, prompts(), scale);
    Tensor::from_dispatch(out)
}

/// Folds the query heads that share a key head into its rows, so that keys and values are never repeated.
fn plain(input: Attend, Scores { scale, softcap }: Scores) -> Tensor<4> {
    let Attend {
        query,
        key,
        value,
        mask,
    } = input;
    let [batch, heads, queries, head_dim] = query.dims();
    let [_, kv_heads, keys, _] = key.dims();
    let group = heads / kv_heads;
    let dtype = query.dtype();

    let query = query.reshape([batch, kv_heads, group * queries, head_dim]);
    let scores = matmul(query, key.swap_dims(2, 3))
        .reshape([batch, heads, queries, keys])
        .cast(DType::F32);
    let weights = match softcap {
        None => masked_softmax(scores, &mask, scale),
        Some(cap) => masked_softmax((scores * (scale / cap)).tanh(), &mask, cap),
    };
    let weights = weights.cast(dtype);
    let weights = weights.reshape([batch, kv_heads, group * queries, keys]);
    matmul(weights, value).reshape([batch, heads, queries, head_dim])
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Attention: Backend {
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        prompts: Vec<SharedPrompt>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use std::ops::Range;

    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;
    use rayon::prelude::*;

    use crate::kernels::cpu::few_rows::FewRows;
    use crate::kernels::cpu::product::{Product, Strided};
    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::softmax::{MaskRows, softmax_row};
    use crate::kernels::cpu::tensors::{dense, dims, tensor, threads, values};
    use crate::kernels::ops::attention::SharedPrompt;

    impl super::Attention for Flex {
        fn attention(
            query: FlexTensor,
            key: FlexTensor,
            value: FlexTensor,
            mask: FlexTensor,
            prompts: Vec<SharedPrompt>,
            scale: f32,
        ) -> FlexTensor {
            /// Below this many values of keys a second thread does not pay.
            const FEW: usize = 1 << 15;
            let query = dense(query);
            let sizes: [usize; 4] = dims(&query);
            let [batch, heads, queries, head_dim] = sizes;
            let [_, kv_heads, keys, _] = dims(&key);
            let (key, value) = (contiguous_matrices(key), contiguous_matrices(value));
            let cached = Cached {
                queries: values(&query),
                key: Matrices::new(&key),
                value: Matrices::new(&value),
                mask: MaskRows::new(&mask, [batch, heads, queries, keys]),
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
    }

    /// The queries and the keys and values they attend to.
    struct Cached<'a> {
        queries: &'a [f32],
        key: Matrices<'a>,
        value: Matrices<'a>,
        mask: MaskRows<'a>,
        /// Queries per matrix of keys: those of all heads that share it.
        rows: usize,
        kv_heads: usize,
        keys: usize,
        head_dim: usize,
        scale: f32,
    }

    impl Cached<'_> {
        /// Returns the index of the matrix of keys (and of values) of a key head of a row.
        fn matrix(&self, row: usize, head: usize) -> usize {
            row * self.kv_heads + head
        }

        /// Computes attention with one key head for all rows that share a prompt, `[rows of the prompt, self.rows, head_dim]`.
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
            for ((&row, queries), scores) in rows.iter().zip(queries.chunks_exact(size)).zip(parts)
            {
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

        /// Writes the products of queries and keys into `columns` of their scores.
        fn multiply(
            &self,
            queries: &[f32],
            keys: &[f32],
            scores: &mut [f32],
            columns: Range<usize>,
        ) {
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

        /// Adds the weighted values to the output; the weights of each query are `width` apart.
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

    /// Copies the tensor if the matrices of its last two dimensions are not contiguous.
    fn contiguous_matrices(tensor: FlexTensor) -> FlexTensor {
        let layout = tensor.layout();
        let columns = layout.shape()[3] as isize;
        if matches!(*layout.strides(), [_, _, row, 1] if row == columns) {
            tensor
        } else {
            tensor.to_contiguous()
        }
    }

    /// The matrices of the last two of four dimensions, read in place.
    struct Matrices<'a> {
        values: &'a [f32],
        start: isize,
        /// Strides of the first and second dimension.
        steps: [isize; 2],
        /// Sizes of the second and the last dimension.
        count: usize,
        columns: usize,
    }

    impl<'a> Matrices<'a> {
        /// Borrows a tensor with [contiguous matrices](contiguous_matrices).
        fn new(tensor: &'a FlexTensor) -> Self {
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

        /// Returns rows of a matrix, which is counted through the first two dimensions.
        fn rows(&self, matrix_idx: usize, rows: &Range<usize>) -> &'a [f32] {
            let (first, second) = (matrix_idx / self.count, matrix_idx % self.count);
            let start =
                self.start + first as isize * self.steps[0] + second as isize * self.steps[1];
            &self.values[start as usize..][rows.start * self.columns..rows.end * self.columns]
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{Device, Int, TensorData, Tolerance};

    const SCORES: Scores = Scores {
        scale: 0.3,
        softcap: None,
    };

    fn assert_close(got: Tensor<4>, expected: Tensor<4>, case: &str) {
        assert_eq!(got.dims(), expected.dims(), "{case}");
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        got.into_data()
            .assert_approx_eq(&expected.into_data(), tolerance);
    }

    #[test]
    fn attention_of_few_queries_equals_the_plain_expression() {
        let device = Device::default();
        for (case, [batch, heads, kv_heads, queries, keys, head_dim]) in [
            ("a token behind a cache", [3, 4, 4, 1, 70, 20]),
            ("heads that share keys", [2, 8, 2, 1, 33, 16]),
            ("some tokens", [2, 4, 1, 5, 40, 8]),
            ("a long cache, in several threads", [2, 4, 4, 1, 700, 32]),
        ] {
            // As a cache has them: a slice of storage with more rows and columns.
            let cached = |seed| {
                let storage = [batch + 1, kv_heads, keys + 9, head_dim];
                let columns = 4..4 + keys;
                let place = [0..batch, 0..kv_heads, columns, 0..head_dim];
                noise(storage, seed, &device).slice(place)
            };
            let mask = Tensor::<1, Int>::arange(0..(batch * queries * keys) as i64, &device)
                .reshape([batch, 1, queries, keys])
                .remainder_scalar(7)
                .equal_elem(3);
            let masked_row = mask.clone().ones_like().slice([0..1, 0..1, 0..1, 0..keys]);
            let input = Attend {
                query: noise([batch, heads, queries, head_dim], 1, &device),
                key: cached(2),
                value: cached(3),
                mask: mask.slice_assign([0..1, 0..1, 0..1, 0..keys], masked_row),
            };
            let expected = plain(input.clone(), SCORES);
            let prompts = || (0..batch).map(SharedPrompt::none).collect();
            let got = attention(input.clone(), SCORES, prompts);
            assert_close(got, expected.clone(), case);
            // As without a cache: heads after tokens in memory.
            let turned = |x: Tensor<4>| (x.clone() * 1.0).swap_dims(1, 2) * 1.0;
            let input = Attend {
                key: turned(input.key).swap_dims(1, 2),
                value: turned(input.value).swap_dims(1, 2),
                ..input
            };
            assert_close(attention(input, SCORES, prompts), expected, case);
        }
    }

    #[test]
    fn in_half_precision_only_inputs_and_output_are_rounded() {
        let device = Device::default();
        for queries in [1, 30] {
            let numbers = |seed, columns, size: f32| {
                let numbers = noise([1, 2, columns, 16], seed, &device);
                (numbers * size).cast(DType::BF16)
            };
            let input = Attend {
                query: numbers(1, queries, 20.0),
                key: numbers(2, 30, 20.0),
                value: numbers(3, 30, 1.0),
                mask: Tensor::<4, Int>::zeros([1, 1, queries, 30], &device).bool(),
            };
            let wide = Attend {
                query: input.query.clone().cast(DType::F32),
                key: input.key.clone().cast(DType::F32),
                value: input.value.clone().cast(DType::F32),
                mask: input.mask.clone(),
            };
            let expected = plain(wide, SCORES).cast(DType::BF16);
            let got = attention(input, SCORES, || vec![SharedPrompt::none(0)]);
            assert_eq!(got.dtype(), DType::BF16);
            // A part in 256 is the last place of bf16.
            let tolerance = Tolerance::<f32>::rel_abs(1.0 / 256.0, 1e-5);
            (got.cast(DType::F32).into_data())
                .assert_approx_eq(&expected.cast(DType::F32).into_data(), tolerance);
        }
    }

    #[test]
    fn rows_that_share_a_prompt_get_what_each_gets_alone() {
        let device = Device::default();
        let (batch, keys, start) = (4, 30, 3);
        for (case, shared, queries, kv_heads) in [
            ("a prompt and tokens after it", 20, 1, 4),
            ("a prompt alone", keys - start, 1, 2),
            ("several tokens after a prompt", 11, 3, 4),
        ] {
            // Rows 0, 2 and 3 share a prompt that starts at a later column; row 1 is alone and starts with the first column.
            let cached = |seed| {
                let all = noise([batch, kv_heads, keys, 8], seed, &device);
                let place = |row| [row..row + 1, 0..kv_heads, start..start + shared, 0..8];
                let prompt = all.clone().slice(place(0));
                [2, 3]
                    .into_iter()
                    .fold(all, |all, row| all.slice_assign(place(row), prompt.clone()))
            };
            let mask = (0..batch * queries * keys).map(|place| {
                let (row, query, key) = (
                    place / (queries * keys),
                    place / keys % queries,
                    place % keys,
                );
                let is_padding = row != 1 && key < start;
                is_padding || key > keys - queries + query
            });
            let mask = TensorData::new(mask.collect(), [batch, 1, queries, keys]);
            let input = Attend {
                query: noise([batch, 4, queries, 8], 1, &device),
                key: cached(2),
                value: cached(3),
                mask: Tensor::from_data(mask, &device),
            };
            let expected = plain(input.clone(), SCORES);
            let prompts = || {
                let together = SharedPrompt {
                    rows: vec![0, 2, 3],
                    columns: start..start + shared,
                };
                vec![together, SharedPrompt::none(1)]
            };
            assert_close(attention(input, SCORES, prompts), expected, case);
        }
    }
}
