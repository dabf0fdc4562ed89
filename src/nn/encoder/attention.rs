//! The self-attention of encoders, with DeBERTa's relative positions where a model has them.

use burn::module::Module;
use burn::tensor::{Bool, DType, Device, Int, Tensor, module};

use crate::kernels::{self, ops};
use crate::nn::encoder::position::{PositionTerms, RelativeContext};
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::weight::{WeightMut, Weights, join};
use crate::nn::matmul;

/// Which output positions a layer must compute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    All,
    First,
}

impl Wanted {
    /// Returns the wanted positions of `x`, `[batch, seq, hidden_size]`.
    pub(crate) fn of(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::All => x,
            Self::First => x.narrow(1, 0, 1),
        }
    }
}

/// The distinct words of a batch. Before the first layer equal tokens have equal states, so it projects each word once.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// `[n_words, hidden_size]`
    pub(crate) hidden: Tensor<2>,
    /// `[batch, seq]`, the word that each token is
    pub(crate) word_idxs: Tensor<2, Int>,
}

impl Words {
    /// Copies what each word has to the tokens that are this word.
    ///
    /// # Shapes
    ///
    /// - of_words: `[n_words, width]`
    /// - output: `[batch, seq, width]`
    pub(crate) fn spread(&self, of_words: Tensor<2>) -> Tensor<3> {
        module::embedding(of_words, self.word_idxs.clone())
    }
}

/// The shape of one attention block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelfAttentionConfig {
    pub(crate) hidden_size: usize,
    pub(crate) heads: usize,
    /// Whether positions use the projections of the content.
    pub(crate) share_att_key: bool,
    pub(crate) position: PositionTerms,
    /// The suffix of the projections' names: `_proj` in DeBERTa, empty in RoBERTa.
    pub(crate) suffix: &'static str,
    pub(crate) std: f64,
    pub(crate) hidden_dropout_prob: f64,
    pub(crate) attention_probs_dropout_prob: f64,
}

/// Self-attention of a BERT-like encoder; DeBERTa adds the terms of relative positions to its scores.
#[derive(Module, Debug)]
pub(crate) struct SelfAttention {
    query_proj: Linear,
    key_proj: Linear,
    value_proj: Linear,
    pos_key_proj: Option<Linear>,
    pos_query_proj: Option<Linear>,
    heads: usize,
    #[module(skip)]
    position: PositionTerms,
    #[module(skip)]
    suffix: &'static str,
    hidden_dropout_prob: f64,
    attention_probs_dropout_prob: f64,
}

impl SelfAttention {
    pub(crate) fn new(config: SelfAttentionConfig, device: &Device) -> Self {
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
            suffix: config.suffix,
            hidden_dropout_prob: config.hidden_dropout_prob,
            attention_probs_dropout_prob: config.attention_probs_dropout_prob,
        }
    }

    /// Computes what the heads see, before the output projection.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - padding: `[1, batch, 1, seq]`, true where a key is padding
    /// - output: that of hidden, or `[batch, 1, hidden_size]`
    ///
    /// Where the hidden states are those of `words`, each word is projected once.
    pub(crate) fn forward(
        &self,
        hidden: Tensor<3>,
        words: Option<&Words>,
        padding: &Tensor<4, Bool>,
        relative: Option<&RelativeContext>,
        dropout: Option<&Dropout>,
        wanted: Wanted,
    ) -> Tensor<3> {
        let [batch, _, hidden_size] = hidden.dims();
        let (heads, head_dim) = (self.heads, hidden_size / self.heads);
        // With heads as the first axis, the positions of a head are multiplied with all rows of the batch at once.
        let split = |x: Tensor<3>| {
            let [_, tokens, _] = x.dims();
            x.reshape([batch, tokens, heads, head_dim])
                .permute([2, 0, 1, 3])
        };
        let scale = 1.0 / ((head_dim * self.position.count()) as f64).sqrt();
        let dtype = hidden.dtype();
        let positions = relative.map(|relative| {
            let dropped = |x| drop_out(x, self.hidden_dropout_prob, dropout);
            let rel_embeddings = dropped(relative.rel_embeddings.clone());
            let project = |own: &Option<Linear>, shared: &Linear, rows: &Tensor<1, Int>| {
                let projected = own.as_ref().unwrap_or(shared);
                let projected = project_rows(projected, rel_embeddings.clone(), rows);
                let [distances, _] = projected.dims();
                projected
                    .reshape([distances, heads, head_dim])
                    .swap_dims(0, 1)
            };
            let PositionTerms {
                content_to_position,
                position_to_content,
            } = self.position;
            Positions {
                of_keys: content_to_position
                    .then(|| project(&self.pos_key_proj, &self.key_proj, &relative.from_query)),
                of_queries: position_to_content
                    .then(|| project(&self.pos_query_proj, &self.query_proj, &relative.from_key)),
            }
        });
        let positions = positions.unwrap_or_default();
        if let (Wanted::First, None) = (wanted, dropout)
            && let Some(attended) = self.attend_first(&hidden, &positions, padding, scale)
        {
            return attended;
        }
        let project = |linear: &Linear, wanted: Wanted| match words {
            Some(words) => wanted.of(words.spread(linear.forward(words.hidden.clone()))),
            None => linear.forward(wanted.of(hidden.clone())),
        };
        let query = project(&self.query_proj, wanted);
        let [key, value] = [&self.key_proj, &self.value_proj].map(|x| project(x, Wanted::All));
        if let (Wanted::All, None, [Some(of_keys), Some(of_queries)]) =
            (wanted, dropout, [&positions.of_keys, &positions.of_queries])
        {
            let positions = [of_keys.clone(), of_queries.clone()];
            let projections = [query, key, value];
            return ops::disentangled_attention(projections, positions, padding, scale);
        }
        let query = query * scale;
        let positions = Positions {
            of_queries: positions.of_queries.map(|x| x * scale),
            ..positions
        };
        let [query, key, value] = [query, key, value].map(split);
        let weights = match wanted {
            Wanted::All => {
                let Positions {
                    of_keys,
                    of_queries,
                } = positions;
                ops::disentangled_weights(query, key, of_keys, of_queries, padding)
            }
            Wanted::First => first_weights(query, key, positions, padding),
        };
        let weights = weights.cast(dtype);
        let weights = drop_out(weights, self.attention_probs_dropout_prob, dropout);
        let attended = matmul(weights, value).permute([1, 2, 0, 3]); // [batch, queries, heads, head_dim]
        let [_, queries, _, _] = attended.dims();
        attended.reshape([batch, queries, hidden_size])
    }

    /// Attends from the first token only, without a gradient, in one pass over the hidden states.
    ///
    /// Keys and values are never computed: their weights are applied to the query and to the weighted sum instead,
    /// `q·(Wx) = (Wᵀq)·x` and `Σ p·(Wx) = W·(Σ p·x)`, so there is one vector per head instead of one per token.
    fn attend_first(
        &self,
        hidden: &Tensor<3>,
        positions: &Positions,
        padding: &Tensor<4, Bool>,
        scale: f64,
    ) -> Option<Tensor<3>> {
        let Positions {
            of_keys: Some(of_keys),
            of_queries: Some(of_queries),
        } = positions
        else {
            return None;
        };
        if !kernels::supports(hidden) || hidden.is_tracked() {
            return None;
        }
        let (key_weight, Some(key_bias)) = self.key_proj.dense()? else {
            return None;
        };
        let (value_weight, Some(value_bias)) = self.value_proj.dense()? else {
            return None;
        };
        let [batch, seq, hidden_size] = hidden.dims();
        let (heads, head_dim) = (self.heads, hidden_size / self.heads);
        let by_head = |weight: Tensor<2>| weight.reshape([heads, head_dim, hidden_size]);
        let query = self.query_proj.forward(Wanted::First.of(hidden.clone())) * scale;
        let query = query.reshape([batch, heads, head_dim]).swap_dims(0, 1);
        // The first token meets each other one at one distance, from zero down and from zero up.
        let of_keys = of_keys.clone().narrow(1, seq - 1, seq); // [heads, seq, head_dim]
        let of_queries = of_queries.clone().narrow(1, 0, seq).flip([1]) * scale;
        let by_query = matmul(query.clone(), of_keys.swap_dims(1, 2)); // [heads, batch, seq]
        let bias = matmul(of_queries.clone(), key_bias.reshape([heads, head_dim, 1]));
        let scores = (by_query + bias.swap_dims(1, 2)).swap_dims(0, 1);
        let key_weight = by_head(key_weight);
        let by_text = matmul(query, key_weight.clone()).swap_dims(0, 1); // [batch, heads, hidden_size]
        let by_token = matmul(of_queries, key_weight); // [heads, seq, hidden_size]
        let seen = ops::first_token_attention(hidden.clone(), by_text, by_token, scores, padding);
        let attended = matmul(seen.swap_dims(0, 1), by_head(value_weight).swap_dims(1, 2));
        let attended = attended.swap_dims(0, 1).reshape([batch, 1, hidden_size]);
        Some(attended + value_bias.unsqueeze())
    }

    /// Keeps the weights in panels; those of keys and values only if they are `wanted` of all tokens.
    pub(crate) fn keep_in_panels(&mut self, wanted: Wanted) {
        self.query_proj.keep_in_panels();
        let positions = [&mut self.pos_key_proj, &mut self.pos_query_proj];
        positions
            .into_iter()
            .flatten()
            .for_each(Linear::keep_in_panels);
        if let Wanted::All = wanted {
            self.key_proj.keep_in_panels();
            self.value_proj.keep_in_panels();
        }
    }
}

/// `linear` of some rows of a table, each of them once where that is less work.
fn project_rows(linear: &Linear, table: Tensor<2>, rows: &Tensor<1, Int>) -> Tensor<2> {
    if rows.dims()[0] < table.dims()[0] {
        linear.forward(table.select(0, rows.clone()))
    } else {
        linear.forward(table).select(0, rows.clone())
    }
}

/// The vectors of a layer's relative positions, `[heads, 2·seq, head_dim]`, for distances from `seq - 1` down.
#[derive(Default)]
struct Positions {
    /// The position keys that queries are multiplied with, by the distance `query - key`.
    of_keys: Option<Tensor<3>>,
    /// The position queries that keys are multiplied with, by the distance `key - query`.
    of_queries: Option<Tensor<3>>,
}

/// Computes [`ops::disentangled_weights`] for the first token only, which has exactly one distance to every other token.
///
/// # Shapes
///
/// - query: `[heads, batch, 1, head_dim]`
/// - key: `[heads, batch, seq, head_dim]`
/// - padding: `[1, batch, 1, seq]`, true where a key is padding
/// - output: `[heads, batch, 1, seq]`
fn first_weights(
    query: Tensor<4>,
    key: Tensor<4>,
    positions: Positions,
    padding: &Tensor<4, Bool>,
) -> Tensor<4> {
    let seq = key.dims()[2];
    let mut scores = matmul(query.clone(), key.clone().swap_dims(2, 3));
    if let Some(positions) = positions.of_keys {
        let positions = positions.narrow(1, seq - 1, seq).unsqueeze_dim::<4>(1); // [heads, 1, seq, head_dim], from 0 down
        let [heads, batch, _, head_dim] = query.dims();
        let query = query.reshape([heads, 1, batch, head_dim]);
        scores = scores + matmul(query, positions.swap_dims(2, 3)).swap_dims(1, 2);
    }
    if let Some(positions) = positions.of_queries {
        let positions = positions.narrow(1, 0, seq).flip([1]).unsqueeze_dim::<4>(1); // from 0 up
        scores = scores + (key * positions).sum_dim(3).swap_dims(2, 3);
    }
    ops::masked_softmax(scores.cast(DType::F32), padding, 1.0)
}

impl Weights for SelfAttention {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        for (name, linear) in [
            ("query", &mut self.query_proj),
            ("key", &mut self.key_proj),
            ("value", &mut self.value_proj),
        ] {
            linear.weights(&join(prefix, &format!("{name}{}", self.suffix)), visit);
        }
        if let Some(linear) = &mut self.pos_key_proj {
            linear.weights(&join(prefix, "pos_key_proj"), visit);
        }
        if let Some(linear) = &mut self.pos_query_proj {
            linear.weights(&join(prefix, "pos_query_proj"), visit);
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn the_first_token_alone_attends_as_it_does_among_all() {
        use burn::tensor::{Distribution, Tolerance};
        let device = Device::default();
        device.seed(5);
        let (batch, heads, seq, head_dim) = (3, 2, 21, 20);
        let random = |shape| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let split = |x: Tensor<3>| x.reshape([heads, batch, seq, head_dim]);
        let [query, key] = [(); 2].map(|()| split(random([heads, batch * seq, head_dim]) * 0.4));
        let [of_keys, of_queries] = [(); 2].map(|()| random([heads, 2 * seq, head_dim]) * 0.4);
        let rows = (0..batch).map(|row| (0..seq).map(|token| token + 4 * row >= seq).collect());
        let padding: Vec<Vec<bool>> = rows.collect();
        let padding = TensorData::new(padding.concat(), [1, batch, 1, seq]);
        let padding = Tensor::<4, Bool>::from_data(padding, &device);
        let positions = Positions {
            of_keys: Some(of_keys.clone()),
            of_queries: Some(of_queries.clone()),
        };
        let first = first_weights(
            query.clone().narrow(2, 0, 1),
            key.clone(),
            positions,
            &padding,
        );
        let all = ops::disentangled_weights(query, key, Some(of_keys), Some(of_queries), &padding);
        let expected = all.narrow(2, 0, 1).into_data();
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        first.into_data().assert_approx_eq(&expected, tolerance);
    }
}
