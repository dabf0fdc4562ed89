//! Embeddings of tokens for each layer, as Gemma 4's E2B and E4B have them.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Int, Tensor};

use crate::kernels::ops::{Gate, gated};
use crate::nn::decoder::config::DecoderConfig;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// A table with a row for each token, a part of it for each layer, and a projection of the model's own embeddings that is
/// added to it.
#[derive(Module, Debug)]
pub(crate) struct PerLayerEmbeddings {
    embed_tokens_per_layer: Weight<2>,
    per_layer_model_projection: Linear,
    per_layer_projection_norm: RmsNorm,
}

impl PerLayerEmbeddings {
    pub(super) fn new(config: &DecoderConfig, device: &Device) -> Self {
        let size = config.hidden_size_per_layer_input;
        let (width, std) = (config.num_hidden_layers * size, config.initializer_range);
        let normal = Initializer::Normal { mean: 0.0, std };
        let shape = [config.vocab_size_per_layer_input, width];
        Self {
            embed_tokens_per_layer: Weight::init(&normal, shape, device),
            per_layer_model_projection: Linear::new(config.hidden_size, width, false, std, device),
            per_layer_projection_norm: config.norm(size, device),
        }
    }

    /// # Shapes
    ///
    /// - embeddings: `[batch, seq, hidden_size]`, scaled
    /// - ids: `[batch, seq]`
    /// - output: `[batch, seq, layers, size]`
    pub(super) fn forward(&self, embeddings: &Tensor<3>, ids: Tensor<2, Int>) -> Tensor<4> {
        let [batch, seq, hidden_size] = embeddings.dims();
        let size = self.per_layer_projection_norm.num_weights();
        let own = self.embed_tokens_per_layer.rows(ids);
        let own = own * (size as f64).sqrt();
        let projected = self.per_layer_model_projection.forward(embeddings.clone());
        let projected = projected * (hidden_size as f64).powf(-0.5);
        let [_, _, width] = projected.dims();
        let layers = width / size;
        let projected = self
            .per_layer_projection_norm
            .forward_heads(projected, layers);
        ((projected + own) * 0.5_f64.sqrt()).reshape([batch, seq, layers, size])
    }
}

impl Weights for PerLayerEmbeddings {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        visit(
            &join(prefix, "embed_tokens_per_layer.weight"),
            WeightMut::Matrix(&mut self.embed_tokens_per_layer),
        );
        self.per_layer_model_projection
            .weights(&join(prefix, "per_layer_model_projection"), visit);
        self.per_layer_projection_norm
            .weights(&join(prefix, "per_layer_projection_norm"), visit);
    }
}

/// What a layer adds to the hidden states from its own embedding of each token.
#[derive(Module, Debug)]
pub(super) struct PerLayerInput {
    per_layer_input_gate: Linear,
    per_layer_projection: Linear,
    post_per_layer_input_norm: RmsNorm,
    layer_idx: usize,
}

impl PerLayerInput {
    pub(super) fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let (hidden, size) = (config.hidden_size, config.hidden_size_per_layer_input);
        let linear =
            |input, output| Linear::new(input, output, false, config.initializer_range, device);
        Self {
            per_layer_input_gate: linear(hidden, size),
            per_layer_projection: linear(size, hidden),
            post_per_layer_input_norm: config.norm(hidden, device),
            layer_idx,
        }
    }

    /// # Shapes
    ///
    /// - hidden and output: `[batch, seq, hidden_size]`
    /// - inputs: `[batch, seq, layers, size]`, of which `pick` takes the tokens that there are hidden states of
    pub(super) fn add(
        &self,
        hidden: Tensor<3>,
        inputs: &Tensor<4>,
        pick: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let [batch, seq, _, size] = inputs.dims();
        let own = inputs.clone().narrow(2, self.layer_idx, 1);
        let own = pick(own.reshape([batch, seq, size]));
        let gate = self.per_layer_input_gate.forward(hidden.clone());
        let added = self
            .per_layer_projection
            .forward(gated(gate, own, Gate::GeluTanh));
        hidden + self.post_per_layer_input_norm.forward(added)
    }
}

impl Weights for PerLayerInput {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let name = |name| join(prefix, name);
        self.per_layer_input_gate
            .weights(&name("per_layer_input_gate"), visit);
        self.per_layer_projection
            .weights(&name("per_layer_projection"), visit);
        self.post_per_layer_input_norm
            .weights(&name("post_per_layer_input_norm"), visit);
    }
}
