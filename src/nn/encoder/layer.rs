//! The layers that DeBERTa and RoBERTa share.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};

use crate::kernels::ops::panels::{feed_forward, residual_linear};
use crate::nn::encoder::attention::{SelfAttention, SelfAttentionConfig, Wanted, Words};
use crate::nn::encoder::position::RelativeContext;
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::LayerNorm;
use crate::nn::layers::weight::{WeightMut, Weights, join};

/// The shape of an encoder's layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderConfig {
    pub(crate) attention: SelfAttentionConfig,
    pub(crate) intermediate_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) layer_norm_eps: f64,
    pub(crate) activation: Activation,
}

/// The layers of a BERT-like model, in order.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    layers: Vec<EncoderLayer>,
}

impl Encoder {
    pub(crate) fn new(config: EncoderConfig, device: &Device) -> Self {
        let layers = (0..config.num_hidden_layers).map(|_| EncoderLayer::new(&config, device));
        Self {
            layers: layers.collect(),
        }
    }

    /// Runs all layers; only the last one skips the positions that are not wanted.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - padding: `[1, batch, 1, seq]`, true where a key is padding
    /// - output: that of hidden, or `[batch, 1, hidden_size]`
    ///
    /// If `words` are given, the hidden states are theirs, and the first layer projects each word once.
    pub(crate) fn forward(
        &self,
        mut hidden: Tensor<3>,
        mut words: Option<Words>,
        padding: &Tensor<4, Bool>,
        relative: Option<&RelativeContext>,
        dropout: Option<&Dropout>,
        wanted: Wanted,
    ) -> Tensor<3> {
        for (layer_idx, layer) in self.layers.iter().enumerate() {
            let is_last = layer_idx + 1 == self.layers.len();
            let wanted = if is_last { wanted } else { Wanted::All };
            let words = words.take();
            hidden = layer.forward(hidden, words.as_ref(), padding, relative, dropout, wanted);
        }
        hidden
    }

    /// Keeps the weights in panels, except those that the last layer reads for the first position only.
    pub(crate) fn keep_in_panels(&mut self, wanted_of_last: Wanted) {
        let n_layers = self.layers.len();
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            let is_last = layer_idx + 1 == n_layers;
            layer.keep_in_panels(if is_last { wanted_of_last } else { Wanted::All });
        }
    }
}

impl Weights for Encoder {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            layer.weights(&join(prefix, &format!("layer.{layer_idx}")), visit);
        }
    }
}

/// A layer: attention and a feed-forward network, each followed by a norm.
#[derive(Module, Debug)]
pub(crate) struct EncoderLayer {
    attention: SelfAttention,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    #[module(skip)]
    activation: Activation,
    hidden_dropout_prob: f64,
}

impl EncoderLayer {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let SelfAttentionConfig {
            hidden_size,
            std,
            hidden_dropout_prob,
            ..
        } = config.attention;
        let linear = |input, output| Linear::new(input, output, true, std, device);
        let norm = || LayerNorm::new(hidden_size, config.layer_norm_eps, device);
        Self {
            attention: SelfAttention::new(config.attention, device),
            attention_output: linear(hidden_size, hidden_size),
            attention_norm: norm(),
            intermediate: linear(hidden_size, config.intermediate_size),
            output: linear(config.intermediate_size, hidden_size),
            output_norm: norm(),
            activation: config.activation,
            hidden_dropout_prob,
        }
    }

    fn keep_in_panels(&mut self, wanted: Wanted) {
        self.attention.keep_in_panels(wanted);
        let others = [
            &mut self.attention_output,
            &mut self.intermediate,
            &mut self.output,
        ];
        others.into_iter().for_each(Linear::keep_in_panels);
    }

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
        let drop_out = |x| drop_out(x, self.hidden_dropout_prob, dropout);
        let attended =
            self.attention
                .forward(hidden.clone(), words, padding, relative, dropout, wanted);
        let hidden = wanted.of(hidden);
        if let Some(hidden) = self.forward_from_panels(&attended, &hidden, dropout) {
            return hidden;
        }
        let attended = drop_out(self.attention_output.forward(attended));
        let hidden = self.attention_norm.forward(attended + hidden);
        let inner = self.intermediate.forward(hidden.clone());
        let inner = self.output.forward(self.activation.apply(inner));
        self.output_norm.forward(drop_out(inner) + hidden)
    }

    /// Computes the part of the layer after attention, if all weights are in panels and no gradient is needed.
    fn forward_from_panels(
        &self,
        attended: &Tensor<3>,
        hidden: &Tensor<3>,
        dropout: Option<&Dropout>,
    ) -> Option<Tensor<3>> {
        if dropout.is_some() || attended.is_tracked() || self.activation != Activation::Gelu {
            return None;
        }
        let attention_output = self.attention_output.panels()?;
        let layers = [self.intermediate.panels()?, self.output.panels()?];
        let shape = attended.dims();
        let [attended, hidden] =
            [attended, hidden].map(|x| x.clone().reshape([-1, shape[2] as i32]));
        let norm = self.attention_norm.parameters();
        let hidden = residual_linear(attended, attention_output, hidden, norm);
        Some(feed_forward(hidden, layers, self.output_norm.parameters()).reshape(shape))
    }
}

impl Weights for EncoderLayer {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        self.attention
            .weights(&join(prefix, "attention.self"), visit);
        self.attention_output
            .weights(&join(prefix, "attention.output.dense"), visit);
        self.attention_norm
            .weights(&join(prefix, "attention.output.LayerNorm"), visit);
        self.intermediate
            .weights(&join(prefix, "intermediate.dense"), visit);
        self.output.weights(&join(prefix, "output.dense"), visit);
        self.output_norm
            .weights(&join(prefix, "output.LayerNorm"), visit);
    }
}
