//! RoBERTa and XLM-RoBERTa for sequence classification.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/xlm_roberta/modeling_xlm_roberta.py>.
//! The layers are DeBERTa's without relative positions; attention weights are f32 before they are applied.

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::tensor::{Device, Tensor, activation, module};

use crate::nn::encoder::attention::{DisentangledConfig, PositionAttention, Wanted};
use crate::nn::encoder::deberta::{ClassifierInput, Layer, keep_layers_in_panels, run_layers};
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::LayerNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// The shape of a classifier, by the names of `config.json`.
#[derive(Config, Debug, PartialEq)]
pub struct RobertaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Number of classes.
    pub num_labels: usize,
    /// Rows of the position table; the first `pad_token_id + 1` stand for no position.
    #[config(default = 514)]
    pub max_position_embeddings: usize,
    /// Number of token types.
    #[config(default = 1)]
    pub type_vocab_size: usize,
    /// The id of padding, and the row of its position.
    #[config(default = 1)]
    pub pad_token_id: usize,
    /// Added to the variance in norms.
    #[config(default = 1e-5)]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer.
    #[config(default = "\"gelu\".to_string()")]
    pub hidden_act: String,
    /// How often a hidden value is dropped, of those passes that drop any.
    #[config(default = 0.1)]
    pub hidden_dropout_prob: f64,
    /// How often an attention weight is dropped.
    #[config(default = 0.1)]
    pub attention_probs_dropout_prob: f64,
    /// How often a value of the head is dropped; `None` is `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
    /// Deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl RobertaConfig {
    /// The longest text that the classifier reads, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.pad_token_id + 1)
    }

    /// A classifier whose weights are drawn at random when they are first used.
    ///
    /// # Panics
    ///
    /// If the activation has a name that is not known here.
    pub fn init(&self, device: &Device) -> Roberta {
        let std = self.initializer_range;
        let activation = Activation::from_name(&self.hidden_act)
            .unwrap_or_else(|| panic!("unknown activation {}", self.hidden_act));
        let table = |rows| {
            let normal = Initializer::Normal { mean: 0.0, std };
            Weight::init(&normal, [rows, self.hidden_size], device)
        };
        let attention = DisentangledConfig {
            hidden_size: self.hidden_size,
            heads: self.num_attention_heads,
            share_att_key: true,
            position: PositionAttention {
                content_to_position: false,
                position_to_content: false,
            },
            suffix: "",
            std,
            hidden_dropout_prob: self.hidden_dropout_prob,
            attention_probs_dropout_prob: self.attention_probs_dropout_prob,
        };
        let layer = || {
            Layer::new(
                attention,
                self.intermediate_size,
                self.layer_norm_eps,
                activation,
                device,
            )
        };
        Roberta {
            word_embeddings: table(self.vocab_size),
            position_embeddings: table(self.max_position_embeddings),
            token_type_embeddings: table(self.type_vocab_size),
            embeddings_norm: LayerNorm::new(self.hidden_size, self.layer_norm_eps, device),
            layers: (0..self.num_hidden_layers).map(|_| layer()).collect(),
            dense: Linear::new(self.hidden_size, self.hidden_size, true, std, device),
            out_proj: Linear::new(self.hidden_size, self.num_labels, true, std, device),
            first_position: self.pad_token_id + 1,
            hidden_dropout_prob: self.hidden_dropout_prob,
            classifier_dropout: self.classifier_dropout.unwrap_or(self.hidden_dropout_prob),
        }
    }
}

/// A RoBERTa sequence classifier.
#[doc(alias = "XLMRobertaForSequenceClassification")]
#[derive(Module, Debug)]
pub struct Roberta {
    word_embeddings: Weight<2>,
    position_embeddings: Weight<2>,
    token_type_embeddings: Weight<2>,
    embeddings_norm: LayerNorm,
    layers: Vec<Layer>,
    dense: Linear,
    out_proj: Linear,
    first_position: usize,
    hidden_dropout_prob: f64,
    classifier_dropout: f64,
}

impl Roberta {
    /// The longest sequence there are positions for.
    pub(crate) fn longest(&self) -> usize {
        self.position_embeddings.shape()[0] - self.first_position
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.word_embeddings.val().device().inner()
    }

    /// Puts a fresh head for `num_labels` classes in place of the old one.
    pub fn reset_classifier(&mut self, num_labels: usize, device: &Device) {
        let [hidden_size] = self.embeddings_norm.dims();
        self.out_proj = Linear::new(hidden_size, num_labels, true, 0.02, device);
    }

    /// Keeps the layers' weights in the order in which a CPU multiplies with them, if they are frozen f32 there.
    pub fn keep_in_panels(&mut self) {
        keep_layers_in_panels(&mut self.layers, Wanted::All);
    }

    /// The logits of each text's class.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, n_labels]`
    pub fn forward(&self, input: ClassifierInput) -> Tensor<2> {
        let dropout = input.dropout.clone();
        self.classify(self.run(input, Wanted::First), dropout.as_ref())
    }

    /// The last hidden states.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden_size]`
    pub fn hidden_states(&self, input: ClassifierInput) -> Tensor<3> {
        self.run(input, Wanted::All)
    }

    fn run(&self, input: ClassifierInput, wanted: Wanted) -> Tensor<3> {
        let ClassifierInput {
            input_ids,
            padding,
            dropout,
        } = input;
        let dropout = dropout.as_ref();
        let [batch, seq] = input_ids.dims();
        // Padding is on the right, where its position does not matter: no other token looks at it.
        let positions = self
            .position_embeddings
            .val()
            .narrow(0, self.first_position, seq);
        let token_type = self.token_type_embeddings.val().narrow(0, 0, 1); // all of the first type
        let words = module::embedding(self.word_embeddings.val(), input_ids); // [batch, seq, hidden_size]
        let hidden = self
            .embeddings_norm
            .forward(words + token_type.unsqueeze() + positions.unsqueeze());
        let hidden = drop_out(hidden, self.hidden_dropout_prob, dropout);
        let padding = padding.reshape([1, batch, 1, seq]);
        run_layers(&self.layers, hidden, wanted, |layer, hidden, wanted| {
            layer.forward(hidden, None, &padding, None, dropout, wanted)
        })
    }

    /// The logits from the last hidden states: the first token goes through a dense layer, tanh and the output.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, n_labels]`
    pub fn classify(&self, hidden: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<2> {
        let drop_out = |x| drop_out(x, self.classifier_dropout, dropout);
        let [batch, _, hidden_size] = hidden.dims();
        let first = hidden.narrow(1, 0, 1).reshape([batch, hidden_size]);
        let dense = activation::tanh(self.dense.forward(drop_out(first)));
        self.out_proj.forward(drop_out(dense))
    }
}

impl Weights for Roberta {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let roberta = join(prefix, "roberta");
        let embeddings = join(&roberta, "embeddings");
        for (name, table) in [
            ("word_embeddings", &mut self.word_embeddings),
            ("position_embeddings", &mut self.position_embeddings),
            ("token_type_embeddings", &mut self.token_type_embeddings),
        ] {
            let name = join(&embeddings, &format!("{name}.weight"));
            visit(&name, WeightMut::Matrix(table));
        }
        self.embeddings_norm
            .weights(&join(&embeddings, "LayerNorm"), visit);
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            layer.weights(
                &join(&roberta, &format!("encoder.layer.{layer_idx}")),
                visit,
            );
        }
        self.dense.weights(&join(prefix, "classifier.dense"), visit);
        self.out_proj
            .weights(&join(prefix, "classifier.out_proj"), visit);
    }
}
