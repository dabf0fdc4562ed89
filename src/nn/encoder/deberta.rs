//! DeBERTa-v2 and v3 for sequence classification.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/deberta_v2/modeling_deberta_v2.py>.
//! Attention weights are f32 before they are applied; everything else follows the weights' dtype.

use std::collections::HashMap;

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, module};

use crate::kernels::{
    self,
    ops::panels::{feed_forward, residual_linear},
};
use crate::nn::decoder::gemma::ids_tensor;
use crate::nn::encoder::attention::{
    DisentangledAttention, DisentangledConfig, PositionAttention, RelativeContext, Wanted, Words,
    relative_buckets,
};
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::LayerNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// The shape of a classifier, by the names of `config.json`.
#[derive(Config, Debug, PartialEq)]
pub struct DebertaConfig {
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
    /// Longest sequence the model was made for.
    #[config(default = 512)]
    pub max_position_embeddings: usize,
    /// Whether absolute positions are added to the embeddings.
    #[config(default = false)]
    pub position_biased_input: bool,
    /// Number of token types, zero for none.
    #[config(default = 0)]
    pub type_vocab_size: usize,
    /// Whether attention has relative positions at all.
    #[config(default = true)]
    pub relative_attention: bool,
    /// Number of logarithmic buckets; `None` keeps each distance apart.
    #[config(default = "Some(256)")]
    pub position_buckets: Option<usize>,
    /// Largest distance; `None` is `max_position_embeddings`.
    pub max_relative_positions: Option<usize>,
    /// `c2p` and `p2c`.
    #[config(default = "vec![\"p2c\".to_string(), \"c2p\".to_string()]")]
    pub pos_att_type: Vec<String>,
    /// Whether positions go through the projections of the content.
    #[config(default = true)]
    pub share_att_key: bool,
    /// Whether the relative embeddings are normalized.
    #[config(default = true)]
    pub norm_rel_ebd: bool,
    /// Added to the variance in norms.
    #[config(default = 1e-7)]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer.
    #[config(default = "\"gelu\".to_string()")]
    pub hidden_act: String,
    /// Activation of the pooler.
    #[config(default = "\"gelu\".to_string()")]
    pub pooler_hidden_act: String,
    /// How often a hidden value is dropped, of those passes that drop any.
    #[config(default = 0.1)]
    pub hidden_dropout_prob: f64,
    /// How often an attention weight is dropped.
    #[config(default = 0.1)]
    pub attention_probs_dropout_prob: f64,
    /// How often a value that enters the pooler is dropped.
    #[config(default = 0.0)]
    pub pooler_dropout: f64,
    /// How often a value that enters the classifier is dropped; `None` is `hidden_dropout_prob`.
    pub cls_dropout: Option<f64>,
    /// Deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl DebertaConfig {
    /// A classifier whose weights are drawn at random when they are first used.
    ///
    /// # Panics
    ///
    /// If an activation or a position term has a name that is not known here.
    pub fn init(&self, device: &Device) -> Deberta {
        let std = self.initializer_range;
        let activation = |name: &str| {
            Activation::from_name(name).unwrap_or_else(|| panic!("unknown activation {name}"))
        };
        let table = |rows| {
            Weight::init(
                &Initializer::Normal { mean: 0.0, std },
                [rows, self.hidden_size],
                device,
            )
        };
        let norm = || LayerNorm::new(self.hidden_size, self.layer_norm_eps, device);
        let has = |term: &str| {
            self.relative_attention && self.pos_att_type.iter().any(|name| name == term)
        };
        let position = PositionAttention {
            content_to_position: has("c2p"),
            position_to_content: has("p2c"),
        };
        let attention = DisentangledConfig {
            hidden_size: self.hidden_size,
            heads: self.num_attention_heads,
            share_att_key: self.share_att_key,
            position,
            suffix: "_proj",
            std,
            hidden_dropout_prob: self.hidden_dropout_prob,
            attention_probs_dropout_prob: self.attention_probs_dropout_prob,
        };
        let max_relative_positions = self
            .max_relative_positions
            .unwrap_or(self.max_position_embeddings);
        let linear = |input, output| Linear::new(input, output, true, std, device);
        Deberta {
            word_embeddings: table(self.vocab_size),
            position_embeddings: self
                .position_biased_input
                .then(|| table(self.max_position_embeddings)),
            token_type_embeddings: (self.type_vocab_size > 0).then(|| table(self.type_vocab_size)),
            embeddings_norm: norm(),
            layers: (0..self.num_hidden_layers)
                .map(|_| {
                    Layer::new(
                        attention,
                        self.intermediate_size,
                        self.layer_norm_eps,
                        activation(&self.hidden_act),
                        device,
                    )
                })
                .collect(),
            rel_embeddings: self
                .relative_attention
                .then(|| table(2 * self.position_buckets.unwrap_or(max_relative_positions))),
            rel_norm: (self.relative_attention && self.norm_rel_ebd).then(norm),
            pooler: linear(self.hidden_size, self.hidden_size),
            classifier: linear(self.hidden_size, self.num_labels),
            position_buckets: self.position_buckets,
            max_relative_positions,
            pooler_activation: activation(&self.pooler_hidden_act),
            hidden_dropout_prob: self.hidden_dropout_prob,
            pooler_dropout: self.pooler_dropout,
            cls_dropout: self.cls_dropout.unwrap_or(self.hidden_dropout_prob),
        }
    }
}

/// Texts of a forward pass, padded on the right.
#[derive(Clone, Debug)]
pub struct ClassifierInput {
    /// `[batch, seq]`
    pub input_ids: Tensor<2, Int>,
    /// `[batch, seq]`, true where a token is padding
    pub padding: Tensor<2, Bool>,
    /// What is dropped, while training; nothing otherwise
    pub dropout: Option<Dropout>,
}

impl ClassifierInput {
    /// Pads texts of any length to the longest of them.
    pub fn new(texts: &[Vec<i32>], pad_token_id: i32, device: &Device) -> Self {
        let seq = texts.iter().map(Vec::len).max().unwrap_or(0);
        Self::padded(texts, pad_token_id, seq, device)
    }

    /// Pads texts to `seq` tokens.
    pub(crate) fn padded(
        texts: &[Vec<i32>],
        pad_token_id: i32,
        seq: usize,
        device: &Device,
    ) -> Self {
        let padded = |fill: &dyn Fn(&[i32]) -> Vec<i32>, with: i32| -> Vec<Vec<i32>> {
            let pad = |text: &Vec<i32>| {
                let mut row = fill(text);
                row.resize(seq, with);
                row
            };
            texts.iter().map(pad).collect()
        };
        Self {
            input_ids: ids_tensor(&padded(&|text| text.to_vec(), pad_token_id), device),
            padding: ids_tensor(&padded(&|text| vec![0; text.len()], 1), device).equal_elem(1),
            dropout: None,
        }
    }

    /// The same texts, of whose values some are dropped on the way.
    pub fn with_dropout(mut self, dropout: Option<Dropout>) -> Self {
        self.dropout = dropout;
        self
    }
}

/// A DeBERTa sequence classifier.
#[doc(alias = "DebertaV2ForSequenceClassification")]
#[derive(Module, Debug)]
pub struct Deberta {
    word_embeddings: Weight<2>,
    position_embeddings: Option<Weight<2>>,
    token_type_embeddings: Option<Weight<2>>,
    embeddings_norm: LayerNorm,
    layers: Vec<Layer>,
    rel_embeddings: Option<Weight<2>>,
    rel_norm: Option<LayerNorm>,
    pooler: Linear,
    classifier: Linear,
    #[module(skip)]
    position_buckets: Option<usize>,
    max_relative_positions: usize,
    #[module(skip)]
    pooler_activation: Activation,
    hidden_dropout_prob: f64,
    pooler_dropout: f64,
    cls_dropout: f64,
}

impl Deberta {
    /// The longest sequence there are absolute positions for, if they are used.
    pub(crate) fn longest(&self) -> Option<usize> {
        self.position_embeddings
            .as_ref()
            .map(|table| table.shape()[0])
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.word_embeddings.val().device().inner()
    }

    /// Puts a fresh classifier of `num_labels` classes in place of the old one.
    pub fn reset_classifier(&mut self, num_labels: usize, device: &Device) {
        let [hidden_size] = self.embeddings_norm.dims();
        self.classifier = Linear::new(hidden_size, num_labels, true, 0.02, device);
    }

    /// Keeps the layers' weights in the order in which a CPU multiplies with them, if they are frozen f32 there.
    pub fn keep_in_panels(&mut self) {
        keep_layers_in_panels(&mut self.layers, Wanted::First);
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
        let device = input_ids.device();
        let mut words = dropout
            .is_none()
            .then(|| self.words(&input_ids, &padding))
            .flatten();
        let hidden = match &words {
            Some(words) => words.spread(words.hidden.clone()),
            None => self.embed(input_ids, padding.clone()),
        };
        let hidden = drop_out(hidden, self.hidden_dropout_prob, dropout);

        let relative = self.rel_embeddings.as_ref().map(|table| {
            let table = match &self.rel_norm {
                Some(norm) => norm.forward(table.val()),
                None => table.val(),
            };
            let buckets = relative_buckets(seq, self.position_buckets, self.max_relative_positions);
            RelativeContext::new(table, &buckets, &device)
        });
        let padding = padding.reshape([1, batch, 1, seq]);
        run_layers(&self.layers, hidden, wanted, |layer, hidden, wanted| {
            let words = words.take(); // of the first layer
            let relative = relative.as_ref();
            layer.forward(hidden, words.as_ref(), &padding, relative, dropout, wanted)
        })
    }

    /// The hidden states before the first layer.
    ///
    /// # Shapes
    ///
    /// - input_ids, padding: `[batch, seq]`
    /// - output: `[batch, seq, hidden_size]`
    fn embed(&self, input_ids: Tensor<2, Int>, padding: Tensor<2, Bool>) -> Tensor<3> {
        let [batch, seq] = input_ids.dims();
        let mut hidden = module::embedding(self.word_embeddings.val(), input_ids);
        if let Some(table) = &self.position_embeddings {
            hidden = hidden + table.val().narrow(0, 0, seq).unsqueeze();
        }
        if let Some(table) = &self.token_type_embeddings {
            hidden = hidden + table.val().narrow(0, 0, 1).unsqueeze(); // all of the first type
        }
        let [.., hidden_size] = hidden.dims();
        let padding = padding.unsqueeze_dim::<3>(2);
        let padding = padding.expand([batch, seq, hidden_size]);
        self.embeddings_norm.forward(hidden).mask_fill(padding, 0.0)
    }

    /// The words of a batch on a CPU, if they do not depend on their places and need no gradient. Padding is one more.
    fn words(&self, input_ids: &Tensor<2, Int>, padding: &Tensor<2, Bool>) -> Option<Words> {
        let table = self.word_embeddings.val();
        if self.position_embeddings.is_some() || !kernels::supports(&table) || table.is_tracked() {
            return None;
        }
        let ids = input_ids.to_data();
        let padding = padding.to_data();
        let mut word_idxs = HashMap::new();
        let mut words: Vec<i32> = Vec::new();
        let mut padded: Vec<bool> = Vec::new();
        let tokens = ids.iter::<i32>().zip(padding.iter::<bool>());
        let tokens: Vec<i32> = tokens
            .map(|token| {
                *word_idxs.entry(token).or_insert_with(|| {
                    words.push(token.0);
                    padded.push(token.1);
                    words.len() as i32 - 1
                })
            })
            .collect();
        let (device, n_words) = (input_ids.device(), words.len());
        let words = Tensor::from_data(TensorData::new(words, [1, n_words]), &device);
        let padded = Tensor::from_data(TensorData::new(padded, [1, n_words]), &device);
        let tokens = TensorData::new(tokens, input_ids.dims());
        Some(Words {
            hidden: self.embed(words, padded).squeeze_dim(0),
            word_idxs: Tensor::from_data(tokens, &device),
        })
    }

    /// The logits from the last hidden states: the first token goes through the pooler and the classifier.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, n_labels]`
    pub fn classify(&self, hidden: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<2> {
        let [batch, _, hidden_size] = hidden.dims();
        let first = hidden.narrow(1, 0, 1).reshape([batch, hidden_size]);
        let first = drop_out(first, self.pooler_dropout, dropout);
        let pooled = self.pooler_activation.apply(self.pooler.forward(first));
        self.classifier
            .forward(drop_out(pooled, self.cls_dropout, dropout))
    }
}

impl Weights for Deberta {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let deberta = join(prefix, "deberta");
        let embeddings = join(&deberta, "embeddings");
        visit(
            &join(&embeddings, "word_embeddings.weight"),
            WeightMut::Matrix(&mut self.word_embeddings),
        );
        if let Some(table) = &mut self.position_embeddings {
            visit(
                &join(&embeddings, "position_embeddings.weight"),
                WeightMut::Matrix(table),
            );
        }
        if let Some(table) = &mut self.token_type_embeddings {
            visit(
                &join(&embeddings, "token_type_embeddings.weight"),
                WeightMut::Matrix(table),
            );
        }
        self.embeddings_norm
            .weights(&join(&embeddings, "LayerNorm"), visit);
        let encoder = join(&deberta, "encoder");
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            layer.weights(&join(&encoder, &format!("layer.{layer_idx}")), visit);
        }
        if let Some(table) = &mut self.rel_embeddings {
            visit(
                &join(&encoder, "rel_embeddings.weight"),
                WeightMut::Matrix(table),
            );
        }
        if let Some(norm) = &mut self.rel_norm {
            norm.weights(&join(&encoder, "LayerNorm"), visit);
        }
        self.pooler.weights(&join(prefix, "pooler.dense"), visit);
        self.classifier.weights(&join(prefix, "classifier"), visit);
    }
}

/// Keeps the weights of layers in panels.
pub(crate) fn keep_layers_in_panels(layers: &mut [Layer], wanted_of_last: Wanted) {
    let count = layers.len();
    for (layer_idx, layer) in layers.iter_mut().enumerate() {
        let is_last = layer_idx + 1 == count;
        let wanted = if is_last { wanted_of_last } else { Wanted::All };
        layer.attention.keep_in_panels(wanted);
        let others = [
            &mut layer.attention_output,
            &mut layer.intermediate,
            &mut layer.output,
        ];
        others.into_iter().for_each(Linear::keep_in_panels);
    }
}

/// Runs layers one behind the other, of which the last alone spares what is not wanted.
pub(crate) fn run_layers(
    layers: &[Layer],
    mut hidden: Tensor<3>,
    wanted: Wanted,
    mut forward: impl FnMut(&Layer, Tensor<3>, Wanted) -> Tensor<3>,
) -> Tensor<3> {
    for (layer_idx, layer) in layers.iter().enumerate() {
        let is_last = layer_idx + 1 == layers.len();
        hidden = forward(layer, hidden, if is_last { wanted } else { Wanted::All });
    }
    hidden
}

/// A layer of a BERT-like model.
#[derive(Module, Debug)]
pub(crate) struct Layer {
    attention: DisentangledAttention,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    #[module(skip)]
    activation: Activation,
    hidden_dropout_prob: f64,
}

impl Layer {
    pub(crate) fn new(
        attention: DisentangledConfig,
        intermediate_size: usize,
        layer_norm_eps: f64,
        activation: Activation,
        device: &Device,
    ) -> Self {
        let DisentangledConfig {
            hidden_size,
            std,
            hidden_dropout_prob,
            ..
        } = attention;
        let linear = |input, output| Linear::new(input, output, true, std, device);
        let norm = || LayerNorm::new(hidden_size, layer_norm_eps, device);
        Self {
            attention: DisentangledAttention::new(attention, device),
            attention_output: linear(hidden_size, hidden_size),
            attention_norm: norm(),
            intermediate: linear(hidden_size, intermediate_size),
            output: linear(intermediate_size, hidden_size),
            output_norm: norm(),
            activation,
            hidden_dropout_prob,
        }
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

    /// What comes behind attention, if all weights are in panels, without a gradient.
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

impl Weights for Layer {
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
