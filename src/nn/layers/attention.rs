//! Grouped-query attention and its mask.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, assert_shape};

pub use crate::kernels::ops::attention::Attend;
use crate::kernels::ops::{self, Scores, SharedPrompt};

/// Builds the mask of keys that each query may not see.
///
/// Segment 0 is padding, 1 a prompt, and each further number a reply that sees the prompt before it and itself but no
/// other reply. A prompt after a reply starts over and sees nothing before it. With zeros and ones only, this is the
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

/// Builds the mask of new tokens that end `behind` keys before the end of a cache: causal, and without padding.
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
    let scores = Scores {
        scale: (head_dim as f64).powf(-0.5),
        softcap: None,
    };
    ops::attention(input, scores, || {
        (0..batch).map(SharedPrompt::none).collect()
    })
}

/// Also forbids keys that are `window` or more positions before a query.
///
/// Positions count, not columns: replies that are packed behind one prompt all begin at its end.
///
/// # Shapes
///
/// - mask and output: `[batch, 1, queries, keys]`
/// - queries: `[batch, queries]`, positions
/// - keys: `[batch, keys]`, positions
pub(crate) fn within_window(
    mask: Tensor<4, Bool>,
    queries: Tensor<2, Int>,
    keys: Tensor<2, Int>,
    window: usize,
) -> Tensor<4, Bool> {
    let [batch, n_queries] = queries.dims();
    let [_, n_keys] = keys.dims();
    let shape = [batch, 1, n_queries, n_keys];
    let queries = queries.reshape([batch, 1, n_queries, 1]).expand(shape);
    let keys = keys.reshape([batch, 1, 1, n_keys]).expand(shape);
    let far = (queries - keys).greater_equal_elem(window as i64);
    mask.expand(shape).bool_or(far)
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

    #[test]
    fn a_window_goes_by_positions_so_that_each_reply_sees_the_end_of_the_prompt() {
        let device = Device::default();
        let segments = [vec![1, 1, 1, 2, 2, 3, 3]];
        let positions = crate::nn::position_ids(&segments, &device);
        let mask = attention_mask(&segments, &device);
        let seen = within_window(mask, positions.clone(), positions, 3);
        let seen: Vec<Vec<usize>> = seen
            .into_data()
            .iter::<bool>()
            .collect::<Vec<_>>()
            .chunks(7)
            .map(|row| (0..7).filter(|&key| !row[key]).collect())
            .collect();
        let expected: [&[usize]; 7] = [
            &[0],
            &[0, 1],
            &[0, 1, 2],
            &[1, 2, 3],
            &[2, 3, 4],
            &[1, 2, 5],
            &[2, 5, 6],
        ];
        assert_eq!(seen, expected);
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
