//! Inputs of a decoder: ids, positions, mask.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::nn::batch::ids_tensor;
use crate::nn::decoder::cache::KvCache;
use crate::nn::layers::attention::{attention_mask, cached_mask};
use crate::nn::layers::rope::positions;

/// Tokens of a forward pass with their positions and what each may see.
///
/// # Examples
///
/// ```
/// use apc::nn::DecoderInput;
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let input = DecoderInput::from_ids(&[vec![2, 10, 11], vec![2, 20, 21]], &device);
/// assert_eq!(input.input_ids.dims(), [2, 3]);
/// // Rows of any length, filled up before their first token.
/// let input = DecoderInput::left_padded(&[vec![2, 10, 11], vec![2]], 0, &device);
/// assert_eq!(input.input_ids.dims(), [2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct DecoderInput {
    /// `[batch, seq]`
    pub input_ids: Tensor<2, Int>,
    /// `[batch, seq]`
    pub positions: Tensor<2, Int>,
    /// Those of the tokens that may be seen, `[batch, keys]`; any number for padding
    pub key_positions: Tensor<2, Int>,
    /// `[batch, 1, seq, keys]`, true where attention is forbidden
    pub mask: Tensor<4, Bool>,
    /// One more than the largest position.
    pub longest: usize,
}

impl DecoderInput {
    /// Rows of equal length, in which each token sees those before it.
    ///
    /// # Shapes
    ///
    /// - rows: `batch` of `seq` token ids
    ///
    /// # Panics
    ///
    /// Panics if the rows differ in length; [`DecoderInput::left_padded`] takes such rows.
    pub fn from_ids(rows: &[Vec<i32>], device: &Device) -> Self {
        let segments: Vec<Vec<i32>> = rows.iter().map(|row| vec![1; row.len()]).collect();
        Self::with_segments(rows, &segments, device)
    }

    /// Rows of any length, filled up with `pad_token_id` on the left, so that all end with a token of theirs.
    ///
    /// No token sees the padding, and each row's positions count from its own first token.
    ///
    /// # Shapes
    ///
    /// - rows: `batch` of up to `seq` token ids
    pub fn left_padded(rows: &[Vec<i32>], pad_token_id: i32, device: &Device) -> Self {
        let seq = rows.iter().map(Vec::len).max().unwrap_or(0);
        let pad = |row: &Vec<i32>, with: i32| {
            let mut padded = vec![with; seq - row.len()];
            padded.extend(row);
            padded
        };
        let ids: Vec<Vec<i32>> = rows.iter().map(|row| pad(row, pad_token_id)).collect();
        let segments = rows.iter().map(|row| pad(&vec![1; row.len()], 0));
        Self::with_segments(&ids, &segments.collect::<Vec<_>>(), device)
    }

    /// Packed rows: prompts, each followed by several replies, so that preference pairs share one pass over their prompt.
    ///
    /// A token's segment says what it belongs to. 0 is padding, 1 a prompt, and 2, 3, … are replies to the prompt before
    /// them: a reply sees that prompt and itself but no other reply, and its positions continue the prompt's. A prompt
    /// after a reply starts over and sees nothing before it.
    ///
    /// # Shapes
    ///
    /// - input_ids, segments: `batch` rows of `seq`
    ///
    /// # Panics
    ///
    /// Panics if `input_ids` and `segments` differ in shape.
    pub fn with_segments(input_ids: &[Vec<i32>], segments: &[Vec<i32>], device: &Device) -> Self {
        let lengths = |rows: &[Vec<i32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(
            lengths(input_ids),
            lengths(segments),
            "each token needs a segment"
        );
        let input_ids = ids_tensor(input_ids, device);
        let seq = segments.first().map_or(0, Vec::len);
        let numbers = positions(segments);
        let longest = numbers.iter().max().map_or(0, |&last| last as usize + 1);
        let numbers = TensorData::new(numbers, [segments.len(), seq]);
        let positions = Tensor::from_data(numbers, device);
        Self {
            input_ids,
            key_positions: positions.clone(),
            positions,
            mask: attention_mask(segments, device),
            longest,
        }
    }

    /// Tokens that follow those of `cache`, the same number in every row.
    ///
    /// # Shapes
    ///
    /// - input_ids: `[batch, seq]`
    pub fn behind(cache: &mut KvCache, input_ids: Tensor<2, Int>) -> Self {
        let [_, seq] = input_ids.dims();
        let new = cache.extend(seq, &input_ids.device());
        Self {
            input_ids,
            positions: new.positions,
            key_positions: new.key_positions,
            mask: cached_mask(new.padding, seq, new.behind),
            longest: cache.seq_len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_different_lengths_are_padded_on_the_left_where_nothing_is_seen() {
        let device = Device::default();
        let rows = [vec![5, 6, 7], vec![8]];
        let padded = DecoderInput::left_padded(&rows, 0, &device);
        let expected = DecoderInput::with_segments(
            &[vec![5, 6, 7], vec![0, 0, 8]],
            &[vec![1; 3], vec![0, 0, 1]],
            &device,
        );
        let same =
            |a: Tensor<2, Int>, b: Tensor<2, Int>| a.into_data().assert_eq(&b.into_data(), true);
        same(padded.input_ids, expected.input_ids);
        same(padded.positions, expected.positions);
        let mask = expected.mask.into_data();
        padded.mask.into_data().assert_eq(&mask, true);
    }

    #[test]
    #[should_panic(expected = "differ in length")]
    fn plain_rows_of_different_lengths_are_refused() {
        DecoderInput::from_ids(&[vec![5, 6, 7], vec![8]], &Device::default());
    }
}
