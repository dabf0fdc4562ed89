//! DeBERTa's relative positions: the terms they add to the scores, and the row of the table for each distance.

use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// A term that relative positions add to the attention scores, by the name it has in `pos_att_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde")]
pub enum PositionTerm {
    /// `c2p`: the query's content with the key's position.
    #[serde(rename = "c2p")]
    ContentToPosition,
    /// `p2c`: the query's position with the key's content.
    #[serde(rename = "p2c")]
    PositionToContent,
}

impl PositionTerm {
    /// Returns the term of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "c2p" => Some(Self::ContentToPosition),
            "p2c" => Some(Self::PositionToContent),
            _ => None,
        }
    }
}

/// Which terms are added to the scores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PositionTerms {
    pub(crate) content_to_position: bool,
    pub(crate) position_to_content: bool,
}

impl PositionTerms {
    pub(crate) fn of(terms: &[PositionTerm]) -> Self {
        Self {
            content_to_position: terms.contains(&PositionTerm::ContentToPosition),
            position_to_content: terms.contains(&PositionTerm::PositionToContent),
        }
    }

    /// How many terms the scores are a sum of, the content term included.
    pub(crate) fn count(self) -> usize {
        1 + usize::from(self.content_to_position) + usize::from(self.position_to_content)
    }
}

/// The bucket of each distance `query - key` from `seq - 1` down to `-seq`: exact when near, logarithmic when far.
///
/// Computed in f32, as the reference does, so that a distance on the edge of a bucket falls on the same side. Reference:
/// <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/deberta_v2/modeling_deberta_v2.py>,
/// `make_log_bucket_position`.
pub(crate) fn relative_buckets(
    seq: usize,
    buckets: Option<usize>,
    max_relative_positions: usize,
) -> Vec<i32> {
    let bucket = |distance: i32| match buckets {
        Some(buckets) => {
            let middle = (buckets / 2) as i32;
            if distance.abs() <= middle {
                distance
            } else {
                let ratio = (distance.abs() as f32 / middle as f32).ln()
                    / ((max_relative_positions - 1) as f32 / middle as f32).ln();
                let far = (ratio * (middle - 1) as f32).ceil() as i32 + middle;
                far * distance.signum()
            }
        }
        None => distance,
    };
    let seq = seq as i32;
    (-seq..seq).rev().map(bucket).collect()
}

/// The table of relative positions that every layer of a forward pass projects, and its row for each distance.
#[derive(Clone, Debug)]
pub(crate) struct RelativeContext {
    /// `[2 · span, hidden_size]`
    pub(crate) rel_embeddings: Tensor<2>,
    /// `[2 · seq]`, the row for each distance `query - key` from `seq - 1` down
    pub(crate) from_query: Tensor<1, Int>,
    /// `[2 · seq]`, the row for each distance `key - query` from `seq - 1` down
    pub(crate) from_key: Tensor<1, Int>,
}

impl RelativeContext {
    /// Rows for the distances of [`relative_buckets`].
    pub(crate) fn new(rel_embeddings: Tensor<2>, buckets: &[i32], device: &Device) -> Self {
        let span = (rel_embeddings.dims()[0] / 2) as i32;
        let rows = |sign: i32| {
            let rows: Vec<i32> = buckets
                .iter()
                .map(|&bucket| (sign * bucket + span).clamp(0, 2 * span - 1))
                .collect();
            Tensor::<1, Int>::from_data(TensorData::new(rows, [buckets.len()]), device)
        };
        Self {
            from_query: rows(1),
            from_key: rows(-1),
            rel_embeddings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_keep_their_own_bucket_and_far_ones_share() {
        let buckets = relative_buckets(80, Some(16), 64);
        let bucket = |distance: usize| buckets[79 - distance];
        assert_eq!([0, 3, 8, 9, 20, 63].map(bucket), [0, 3, 8, 9, 12, 15]);
        assert_eq!(buckets[79 + 79], -16);
        assert_eq!(relative_buckets(2, None, 8), [1, 0, -1, -2]);
    }
}
