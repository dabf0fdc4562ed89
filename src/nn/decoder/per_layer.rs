//! Embeddings of tokens for each layer, as Gemma 4's E2B and E4B have them.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Int, Tensor};

use crate::nn::decoder::config::DecoderConfig;
use crate::nn::decoder::layer::norm;
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
            per_layer_projection_norm: norm(config, size, device),
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
