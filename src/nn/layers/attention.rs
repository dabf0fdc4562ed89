//! Grouped-query attention and its mask.

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData, activation, assert_shape};

use crate::nn::decoder::cache::SharedPrompt;
use crate::{kernels, nn::matmul};

/// Builds the mask of keys that each query may not see.
///
/// Segment 0 is padding, 1 a prompt, and each further number a reply that sees the prompt before it and itself but no
/// other reply. A prompt behind a reply begins anew and sees nothing before it. With zeros and ones only, this is the
/// usual causal mask with padding.
///
/// # Shapes
///
/// - segments: `batch` rows of `seq`
/// - output: `[batch, 1, seq, seq]`, true where attention is forbidden
pub fn attention_mask(segments: &[Vec<i32>], device: &Device) -> Tensor<4, Bool> {
    let (batch, seq) = (segments.len(), segments.first().map_or(0, Vec::len));
    let mut masked = Vec::with_capacity(batch * seq * seq);
    for row in segments {
        let first = prompt_starts(row);
        for query in 0..seq {
            masked.extend((0..seq).map(|key| {
                key > query
                    || key < first[query]
                    || row[key] == 0
                    || (row[key] != 1 && row[key] != row[query])
            }));
        }
    }
    Tensor::from_data(TensorData::new(masked, [batch, 1, seq, seq]), device)
}

/// Finds for every token of a row where its prompt begins; padding before a prompt belongs to it.
pub(crate) fn prompt_starts(segments: &[i32]) -> Vec<usize> {
    let (mut start, mut replied) = (0, false);
    let start_of = |(position, &segment): (usize, &i32)| {
        if segment == 1 && replied {
            (start, replied) = (position, false);
        }
        replied |= segment > 1;
        start
    };
    segments.iter().enumerate().map(start_of).collect()
}

/// Builds the mask of new tokens in a cache, which end `behind` keys before its end: causal, and without padding.
///
/// # Shapes
///
/// - padding: `[batch, keys]`, true where a token is padding
/// - output: `[batch, 1, queries, keys]`
pub(crate) fn cached_mask(
    padding: Tensor<2, Bool>,
    queries: usize,
    behind: usize,
) -> Tensor<4, Bool> {
    let [batch, keys] = padding.dims();
    let device = padding.device();
    let padding = padding.unsqueeze_dim::<3>(1).unsqueeze_dim::<4>(1); // [batch, 1, 1, keys]
    if queries == 1 {
        return padding;
    }
    let key_positions = Tensor::<1, Int>::arange(0..keys as i64, &device).reshape([1, 1, 1, keys]);
    let end = (keys - behind) as i64;
    let query_positions =
        Tensor::<1, Int>::arange(end - queries as i64..end, &device).reshape([1, 1, queries, 1]);
    let future = key_positions
        .expand([1, 1, queries, keys])
        .greater(query_positions.expand([1, 1, queries, keys]));
    padding
        .expand([batch, 1, queries, keys])
        .bool_or(future.expand([batch, 1, queries, keys]))
}

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

/// Softmax attention with scale `1/√head_dim`, the softmax in f32; `heads` is a multiple of `kv_heads`.
///
/// The query heads that share a key head are folded into its rows, so keys and values are never repeated.
///
/// # Shapes
///
/// - output: `[batch, heads, queries, head_dim]`
pub fn grouped_query_attention(input: Attend) -> Tensor<4> {
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, _] = input.key.dims();
    assert!(
        kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "{heads} query heads are no multiple of {kv_heads} key heads"
    );
    assert_shape!(input.key, [batch, kv_heads, keys, head_dim]);
    assert_shape!(input.value, [batch, kv_heads, keys, head_dim]);
    assert_shape!(input.mask, [batch, 1, queries, keys]);
    attention_behind(input, || (0..batch).map(alone).collect())
}

/// A row that begins with no prompt.
fn alone(row: usize) -> SharedPrompt {
    SharedPrompt {
        rows: vec![row],
        columns: 0..0,
    }
}

/// Computes [`grouped_query_attention`] in rows of which some begin with the same prompt.
pub(crate) fn attention_behind(
    input: Attend,
    prompts: impl FnOnce() -> Vec<SharedPrompt>,
) -> Tensor<4> {
    let [_, _, _, head_dim] = input.query.dims();
    let scale = (head_dim as f64).powf(-0.5);
    kernels::attention(&input, prompts, scale).unwrap_or_else(|| plain_attention(input, scale))
}

fn plain_attention(input: Attend, scale: f64) -> Tensor<4> {
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
    let weights = masked_softmax(scores, &mask, scale).cast(dtype);
    let weights = weights.reshape([batch, kv_heads, group * queries, keys]);
    matmul(weights, value).reshape([batch, heads, queries, head_dim])
}

/// `softmax(scale · scores)` over the last dimension, in f32; what `mask` marks counts for nothing.
///
/// # Shapes
///
/// - scores and output: `[a, b, rows, columns]`
/// - mask: the same, or one where it is the same for all
pub(crate) fn masked_softmax(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    if kernels::serves(&scores) {
        kernels::masked_softmax(scores, mask, scale)
    } else {
        plain_softmax(scores, mask, scale)
    }
}

fn plain_softmax(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    let mask = mask.clone().expand(scores.dims());
    activation::softmax((scores * scale).mask_fill(mask, f32::MIN), 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_see_the_prompt_and_themselves_but_not_each_other() {
        let mask = attention_mask(&[vec![0, 1, 2, 3]], &Device::default());
        let expected = TensorData::from([[[
            [true, true, true, true],
            [true, false, true, true],
            [true, false, false, true],
            [true, false, true, false],
        ]]]);
        mask.into_data().assert_eq(&expected, false);
    }

    #[test]
    fn a_prompt_behind_a_reply_sees_nothing_before_it() {
        let mask = attention_mask(&[vec![1, 2, 1, 2, 3]], &Device::default());
        let expected = TensorData::from([[[
            [false, true, true, true, true],
            [false, false, true, true, true],
            [true, true, false, true, true],
            [true, true, false, false, true],
            [true, true, false, true, false],
        ]]]);
        mask.into_data().assert_eq(&expected, false);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn attention_of_few_queries_in_one_pass_is_the_plain_one() {
        let device = Device::default();
        device.seed(3);
        for (case, [batch, heads, kv_heads, queries, keys, head_dim]) in [
            ("a token behind a cache", [3, 4, 4, 1, 70, 20]),
            ("heads that share keys", [2, 8, 2, 1, 33, 16]),
            ("some tokens", [2, 4, 1, 5, 40, 8]),
            ("a long cache, in several threads", [2, 4, 4, 1, 700, 32]),
        ] {
            let random = |shape: [usize; 4]| {
                Tensor::<4>::random(shape, burn::tensor::Distribution::Default, &device)
            };
            // As a cache gives them: a part of storage that has rows and columns to spare.
            let cached = || {
                random([batch + 1, kv_heads, keys + 9, head_dim]).slice([
                    0..batch,
                    0..kv_heads,
                    4..4 + keys,
                    0..head_dim,
                ])
            };
            let mask = Tensor::<1, Int>::arange(0..(batch * queries * keys) as i64, &device)
                .reshape([batch, 1, queries, keys])
                .remainder_scalar(7)
                .equal_elem(3);
            let masked_row = mask.clone().ones_like().slice([0..1, 0..1, 0..1, 0..keys]);
            let input = Attend {
                query: random([batch, heads, queries, head_dim]),
                key: cached(),
                value: cached(),
                mask: mask.slice_assign([0..1, 0..1, 0..1, 0..keys], masked_row),
            };
            let expected = plain_attention(input.clone(), 0.3).into_data();
            let prompts = || (0..batch).map(alone).collect();
            let got = kernels::attention(&input, prompts, 0.3);
            let got = got.expect(case).into_data();
            let tolerance = burn::tensor::Tolerance::<f32>::absolute(1e-5);
            got.assert_approx_eq(&expected, tolerance);
            // As without a cache: heads behind tokens.
            let turned = |x: Tensor<4>| (x.clone() * 1.0).swap_dims(1, 2) * 1.0;
            let input = Attend {
                key: turned(input.key).swap_dims(1, 2),
                value: turned(input.value).swap_dims(1, 2),
                ..input
            };
            let got = kernels::attention(&input, prompts, 0.3);
            let got = got.expect(case).into_data();
            got.assert_approx_eq(&expected, tolerance);
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn rows_that_begin_with_one_prompt_see_what_each_would_see_alone() {
        let device = Device::default();
        device.seed(4);
        let (batch, keys, start) = (4, 30, 3);
        for (case, shared, queries, kv_heads) in [
            ("a prompt and what came behind", 20, 1, 4),
            ("a prompt alone", keys - start, 1, 2),
            ("some tokens behind a prompt", 11, 3, 4),
        ] {
            let random = |shape: [usize; 4]| {
                Tensor::<4>::random(shape, burn::tensor::Distribution::Default, &device)
            };
            // Rows 0, 2 and 3 begin with one prompt at a later column; row 1 is alone and begins with the first.
            let cached = || {
                let all = random([batch, kv_heads, keys, 8]);
                let place = |row| [row..row + 1, 0..kv_heads, start..start + shared, 0..8];
                let prompt = all.clone().slice(place(0));
                [2, 3]
                    .into_iter()
                    .fold(all, |all, row| all.slice_assign(place(row), prompt.clone()))
            };
            let padding = (0..batch * keys).map(|place| place / keys != 1 && place % keys < start);
            let padding = TensorData::new(padding.collect(), [batch, keys]);
            let padding = Tensor::<2, Bool>::from_data(padding, &device);
            let input = Attend {
                query: random([batch, 4, queries, 8]),
                key: cached(),
                value: cached(),
                mask: cached_mask(padding, queries, 0),
            };
            let expected = plain_attention(input.clone(), 0.3).into_data();
            let prompts = || {
                let together = SharedPrompt {
                    rows: vec![0, 2, 3],
                    columns: start..start + shared,
                };
                vec![together, alone(1)]
            };
            let got = kernels::attention(&input, prompts, 0.3).expect(case);
            got.into_data()
                .assert_approx_eq(&expected, burn::tensor::Tolerance::<f32>::absolute(1e-5));
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_masked_softmax_in_one_pass_is_the_plain_one() {
        let device = Device::default();
        let causal = |batch| {
            let rows = [vec![0, 0, 1, 1, 2, 2, 3], vec![1, 1, 1, 2, 3, 3, 0]];
            attention_mask(&rows[..batch], &device)
        };
        let padding = |rows: [[bool; 7]; 2]| {
            Tensor::<2, Bool>::from_data(TensorData::from(rows), &device).reshape([1, 2, 1, 7])
        };
        let (most, all) = ([true, false, true, true, true, true, true], [true; 7]);
        for (case, mask, shape) in [
            ("one mask a row", causal(2), [2, 3, 7, 7]),
            ("one mask for all rows", causal(1), [2, 3, 7, 7]),
            (
                "one mask for all queries",
                padding([most, [false; 7]]),
                [3, 2, 7, 7],
            ),
            ("a row without anything", padding([all, most]), [3, 2, 7, 7]),
        ] {
            kernels::testing::assert_same(
                case,
                [shape.iter().product()],
                |[scores]| kernels::masked_softmax(scores.reshape(shape), &mask, 0.7).flatten(0, 3),
                |[scores]| plain_softmax(scores.reshape(shape), &mask, 0.7).flatten(0, 3),
            );
        }
    }

    #[test]
    fn new_tokens_behind_a_cache_see_it_and_what_is_before_them() {
        let padding = Tensor::<2, Bool>::from_data(
            TensorData::from([[true, false, false, false]]),
            &Device::default(),
        );
        let expected =
            TensorData::from([[[[true, false, false, true], [true, false, false, false]]]]);
        cached_mask(padding, 2, 0)
            .into_data()
            .assert_eq(&expected, false);
    }
}
