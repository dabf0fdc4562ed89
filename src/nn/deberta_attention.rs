//! DeBERTa's disentangled attention.

use burn::module::Module;
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData, activation};

use super::linear::Linear;
use super::matmul;
use super::weight::{WeightMut, Weights, join};

/// Which of the two position terms are added to the scores, `pos_att_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PositionAttention {
    /// Content to position, `c2p`.
    pub content_to_position: bool,
    /// Position to content, `p2c`.
    pub position_to_content: bool,
}

impl PositionAttention {
    /// How many terms the scores are a sum of, the content term included.
    fn terms(self) -> usize {
        1 + usize::from(self.content_to_position) + usize::from(self.position_to_content)
    }
}

/// The relative position of each pair of tokens, in buckets that grow logarithmically when `buckets` is given.
///
/// Computed in f32, as the reference does, so that a distance on the edge of a bucket falls on the same side. Reference:
/// <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/deberta_v2/modeling_deberta_v2.py>,
/// `make_log_bucket_position`.
pub fn relative_positions(
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
    (0..seq)
        .flat_map(|query| (0..seq).map(move |key| bucket(query - key)))
        .collect()
}

/// What every layer of a forward pass needs to know of positions and padding.
#[derive(Clone, Debug)]
pub(super) struct RelativeContext {
    /// `[2 · span, hidden_size]`
    pub(super) rel_embeddings: Tensor<2>,
    /// `[seq, seq]`, index into the embeddings from the query's side
    pub(super) c2p_index: Tensor<2, Int>,
    /// `[seq, seq]`, the same from the key's side
    pub(super) p2c_index: Tensor<2, Int>,
}

impl RelativeContext {
    pub(super) fn new(
        rel_embeddings: Tensor<2>,
        relative: &[i32],
        seq: usize,
        device: &Device,
    ) -> Self {
        let span = (rel_embeddings.dims()[0] / 2) as i32;
        let index = |sign: i32| {
            let values: Vec<i32> = relative
                .iter()
                .map(|&position| (sign * position + span).clamp(0, 2 * span - 1))
                .collect();
            Tensor::<2, Int>::from_data(TensorData::new(values, [seq, seq]), device)
        };
        Self {
            c2p_index: index(1),
            p2c_index: index(-1),
            rel_embeddings,
        }
    }
}

/// The shape of one attention block.
#[derive(Clone, Copy, Debug)]
pub(super) struct DisentangledConfig {
    pub(super) hidden_size: usize,
    pub(super) heads: usize,
    pub(super) share_att_key: bool,
    pub(super) position: PositionAttention,
    pub(super) std: f64,
}

/// Self-attention whose scores are content to content, plus content to position and position to content.
#[derive(Module, Debug)]
pub(super) struct DisentangledAttention {
    query_proj: Linear,
    key_proj: Linear,
    value_proj: Linear,
    pos_key_proj: Option<Linear>,
    pos_query_proj: Option<Linear>,
    heads: usize,
    #[module(skip)]
    position: PositionAttention,
}

impl DisentangledAttention {
    pub(super) fn new(config: DisentangledConfig, device: &Device) -> Self {
        let linear = |bias| {
            Linear::new(
                config.hidden_size,
                config.hidden_size,
                bias,
                config.std,
                device,
            )
        };
        let own = |wanted: bool| wanted && !config.share_att_key;
        Self {
            query_proj: linear(true),
            key_proj: linear(true),
            value_proj: linear(true),
            pos_key_proj: own(config.position.content_to_position).then(|| linear(true)),
            pos_query_proj: own(config.position.position_to_content).then(|| linear(true)),
            heads: config.heads,
            position: config.position,
        }
    }

    /// # Shapes
    ///
    /// - hidden and output: `[batch, seq, hidden_size]`
    /// - padding: `[batch, 1, 1, seq]`, true where a key is padding
    pub(super) fn forward(
        &self,
        hidden: Tensor<3>,
        padding: &Tensor<4, Bool>,
        relative: Option<&RelativeContext>,
    ) -> Tensor<3> {
        let [batch, seq, hidden_size] = hidden.dims();
        let (heads, head_dim) = (self.heads, hidden_size / self.heads);
        let split = |x: Tensor<3>| x.reshape([batch, seq, heads, head_dim]).swap_dims(1, 2);
        let scale = 1.0 / ((head_dim * self.position.terms()) as f64).sqrt();
        let query = split(self.query_proj.forward(hidden.clone())) * scale;
        let key = split(self.key_proj.forward(hidden.clone()));
        let value = split(self.value_proj.forward(hidden));
        let dtype = query.dtype();

        let mut scores = matmul(query.clone(), key.clone().swap_dims(2, 3)); // [batch, heads, seq, seq]
        if let Some(relative) = relative {
            let project = |own: &Option<Linear>, shared: &Linear| {
                let projected = own
                    .as_ref()
                    .unwrap_or(shared)
                    .forward(relative.rel_embeddings.clone());
                let [positions, _] = projected.dims();
                projected
                    .reshape([1, positions, heads, head_dim])
                    .swap_dims(1, 2) // [1, heads, 2·span, head_dim]
            };
            let index = |index: &Tensor<2, Int>| {
                index
                    .clone()
                    .reshape([1, 1, seq, seq])
                    .expand([batch, heads, seq, seq])
            };
            if self.position.content_to_position {
                let pos_key = project(&self.pos_key_proj, &self.key_proj);
                let c2p = by_position(query, pos_key); // [batch, heads, seq, 2·span]
                scores = scores + c2p.gather(3, index(&relative.c2p_index));
            }
            if self.position.position_to_content {
                let pos_query = project(&self.pos_query_proj, &self.query_proj) * scale;
                let p2c = by_position(key, pos_query);
                scores = scores + p2c.gather(3, index(&relative.p2c_index)).swap_dims(2, 3);
            }
        }
        let scores = scores
            .cast(DType::F32)
            .mask_fill(padding.clone().expand([batch, heads, seq, seq]), f32::MIN);
        let weights = activation::softmax(scores, 3).cast(dtype);
        matmul(weights, value)
            .swap_dims(1, 2)
            .reshape([batch, seq, hidden_size])
    }
}

/// The products of each token with each position's vector.
///
/// # Shapes
///
/// - tokens: `[batch, heads, seq, head_dim]`
/// - positions: `[1, heads, n, head_dim]`
/// - output: `[batch, heads, seq, n]`
fn by_position(tokens: Tensor<4>, positions: Tensor<4>) -> Tensor<4> {
    let [batch, heads, seq, head_dim] = tokens.dims();
    let n = positions.dims()[2];
    // One product a head instead of one a head and row: the positions are the same for every row of the batch.
    let tokens: Tensor<3> = tokens
        .swap_dims(0, 1)
        .reshape([heads, batch * seq, head_dim]);
    let positions: Tensor<3> = positions.reshape([heads, n, head_dim]);
    matmul(tokens, positions.swap_dims(1, 2))
        .reshape([heads, batch, seq, n])
        .swap_dims(0, 1)
}

impl Weights for DisentangledAttention {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        self.query_proj.weights(&join(prefix, "query_proj"), visit);
        self.key_proj.weights(&join(prefix, "key_proj"), visit);
        self.value_proj.weights(&join(prefix, "value_proj"), visit);
        if let Some(linear) = &mut self.pos_key_proj {
            linear.weights(&join(prefix, "pos_key_proj"), visit);
        }
        if let Some(linear) = &mut self.pos_query_proj {
            linear.weights(&join(prefix, "pos_query_proj"), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_keep_their_own_bucket_and_far_ones_share() {
        let row = |distance: usize| relative_positions(80, Some(16), 64)[distance * 80];
        assert_eq!(
            [row(0), row(3), row(8), row(9), row(20), row(63)],
            [0, 3, 8, 9, 12, 15]
        );
        assert_eq!(relative_positions(80, Some(16), 64)[79], -16);
        assert_eq!(
            relative_positions(3, None, 8),
            [0, -1, -2, 1, 0, -1, 2, 1, 0]
        );
    }
}
