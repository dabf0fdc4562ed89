//! BERT, RoBERTa and XLM-RoBERTa for sequence classification: one encoder, which differs in where positions begin, in
//! whether a pair of texts has token types, and in names.
//!
//! References: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/xlm_roberta/modeling_xlm_roberta.py>
//! and <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/bert/modeling_bert.py>.
//! Attention weights are f32 before they are applied; everything else follows the weights' dtype.

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Device, Tensor, activation, assert_shape, module};

use crate::nn::config::{
    InvalidConfig, check_dropout, check_layers, check_multiple, check_pad, check_sizes,
};
use crate::nn::encoder::attention::{SelfAttentionConfig, Wanted};
use crate::nn::encoder::input::{ClassifierInput, token_type_embeddings};
use crate::nn::encoder::layer::{Encoder, EncoderConfig};
use crate::nn::encoder::position::PositionTerms;
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::LayerNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// Which of the models that share this encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
pub enum RobertaKind {
    /// BERT: positions from 0, token types for the texts of a pair.
    Bert,
    /// RoBERTa: positions behind the padding's.
    Roberta,
    /// RoBERTa with a multilingual vocabulary.
    XlmRoberta,
}

/// The shape of a BERT, RoBERTa or XLM-RoBERTa classifier, by the names of `config.json`.
///
/// [`RobertaConfig::new`] is XLM-RoBERTa-base with two classes. Each field has a `with_` method.
#[derive(Config, Debug, PartialEq)]
pub struct RobertaConfig {
    /// Which of the models it is.
    #[config(default = "RobertaKind::XlmRoberta")]
    pub kind: RobertaKind,
    /// Number of token ids.
    #[config(default = 250_002)]
    pub vocab_size: usize,
    /// Width of the residual stream.
    #[config(default = 768)]
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    #[config(default = 3072)]
    pub intermediate_size: usize,
    /// Number of layers.
    #[config(default = 12)]
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    #[config(default = 12)]
    pub num_attention_heads: usize,
    /// Number of classes.
    #[config(default = 2)]
    pub num_labels: usize,
    /// Rows of the position table; but for BERT the first `pad_token_id + 1` are no positions.
    #[config(default = 514)]
    pub max_position_embeddings: usize,
    /// Number of token types.
    #[config(default = 1)]
    pub type_vocab_size: usize,
    /// The id of padding, and but for BERT the row of its position.
    #[config(default = 1)]
    pub pad_token_id: usize,
    /// Added to the variance in norms.
    #[config(default = 1e-5)]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer.
    #[config(default = "Activation::Gelu")]
    pub hidden_act: Activation,
    /// Probability that a hidden value is dropped, in passes with dropout.
    #[config(default = 0.1)]
    pub hidden_dropout_prob: f64,
    /// Probability that an attention weight is dropped.
    #[config(default = 0.1)]
    pub attention_probs_dropout_prob: f64,
    /// Probability that a value of the head is dropped; `None` is `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl RobertaConfig {
    /// Returns the shape of `FacebookAI/xlm-roberta-base`, with two classes.
    pub fn xlm_roberta_base() -> Self {
        Self::new()
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    ///
    /// Fails, naming the field, if a size is zero, the width is no multiple of the heads, no position is left after
    /// `pad_token_id`, `pad_token_id` is no row of the table, or a dropout is not a probability below 1.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        check_multiple(
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
        )?;
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_labels", self.num_labels),
            ("type_vocab_size", self.type_vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        check_layers(self.num_hidden_layers)?;
        check_pad(self.pad_token_id as i64, self.vocab_size)?;
        if self.max_tokens() == 0 {
            return Err(InvalidConfig::new(format!(
                "max_position_embeddings is {}, but must be at least pad_token_id + 2, {}",
                self.max_position_embeddings,
                self.pad_token_id + 2
            )));
        }
        check_dropout(&[
            self.hidden_dropout_prob,
            self.attention_probs_dropout_prob,
            self.classifier_dropout.unwrap_or(0.0),
        ])
    }

    /// Returns the length of the longest text that the classifier reads, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }

    /// The row of the first token's position.
    fn first_position(&self) -> usize {
        match self.kind {
            RobertaKind::Bert => 0,
            RobertaKind::Roberta | RobertaKind::XlmRoberta => self.pad_token_id + 1,
        }
    }

    /// Makes a classifier; its weights are drawn at random on first use.
    ///
    /// # Panics
    ///
    /// Panics if the shape does not pass [`RobertaConfig::check`].
    pub fn init(&self, device: &Device) -> Roberta {
        if let Err(error) = self.check() {
            panic!("a RoBERTa cannot have this config: {error}");
        }
        let std = self.initializer_range;
        let table = |rows| {
            let normal = Initializer::Normal { mean: 0.0, std };
            Weight::init(&normal, [rows, self.hidden_size], device)
        };
        let attention = SelfAttentionConfig {
            hidden_size: self.hidden_size,
            heads: self.num_attention_heads,
            share_att_key: true,
            position: PositionTerms::default(),
            suffix: "",
            std,
            hidden_dropout_prob: self.hidden_dropout_prob,
            attention_probs_dropout_prob: self.attention_probs_dropout_prob,
        };
        let encoder = EncoderConfig {
            attention,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.hidden_act,
        };
        Roberta {
            word_embeddings: table(self.vocab_size),
            position_embeddings: table(self.max_position_embeddings),
            token_type_embeddings: table(self.type_vocab_size),
            embeddings_norm: LayerNorm::new(self.hidden_size, self.layer_norm_eps, device),
            encoder: Encoder::new(encoder, device),
            dense: Linear::new(self.hidden_size, self.hidden_size, true, std, device),
            out_proj: Linear::new(self.hidden_size, self.num_labels, true, std, device),
            kind: self.kind,
            first_position: self.first_position(),
            hidden_dropout_prob: self.hidden_dropout_prob,
            classifier_dropout: self.classifier_dropout.unwrap_or(self.hidden_dropout_prob),
        }
    }
}

/// A BERT, RoBERTa or XLM-RoBERTa sequence classifier.
///
/// A burn [`Module`]. Frozen weights are no parameters, so burn's `save_file` leaves them out: walk
/// [`Weights::weights`] to write them.
#[doc(alias = "XLMRobertaForSequenceClassification")]
#[doc(alias = "BertForSequenceClassification")]
#[derive(Module, Debug)]
pub struct Roberta {
    #[module(skip)]
    kind: RobertaKind,
    word_embeddings: Weight<2>,
    position_embeddings: Weight<2>,
    token_type_embeddings: Weight<2>,
    embeddings_norm: LayerNorm,
    encoder: Encoder,
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

    pub(crate) fn keep_in_panels(&mut self) {
        self.encoder.keep_in_panels(Wanted::All);
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
            token_types,
            dropout,
        } = input;
        let dropout = dropout.as_ref();
        let [batch, seq] = input_ids.dims();
        assert_shape!(padding, [batch, seq]);
        let table = self.position_embeddings.val();
        let positions = match self.kind {
            // Padding is on the right, where its position does not matter: no other token looks at it.
            RobertaKind::Bert => table.narrow(0, 0, seq).unsqueeze(),
            // Positions count the tokens that are no padding, which a text may spell.
            RobertaKind::Roberta | RobertaKind::XlmRoberta => {
                let pad_token_id = self.first_position as i64 - 1;
                let counted = input_ids.clone().not_equal_elem(pad_token_id).int();
                let positions = counted.clone().cumsum(1) * counted + pad_token_id;
                module::embedding(table, positions)
            }
        };
        let types = self.token_type_embeddings.val();
        // RoBERTa's tokenizers tell no types, however many rows the table has.
        let token_types = token_types.filter(|_| self.kind == RobertaKind::Bert);
        let types = token_type_embeddings(types, token_types);
        let words = module::embedding(self.word_embeddings.val(), input_ids); // [batch, seq, hidden_size]
        let hidden = self.embeddings_norm.forward(words + types + positions);
        let hidden = drop_out(hidden, self.hidden_dropout_prob, dropout);
        let padding = padding.reshape([1, batch, 1, seq]);
        self.encoder
            .forward(hidden, None, &padding, None, dropout, wanted)
    }

    /// Computes the logits from the last hidden state of the first token: dense layer (BERT's pooler), tanh, output.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, n_labels]`
    pub fn classify(&self, hidden: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<2> {
        let drop_out = |x| drop_out(x, self.classifier_dropout, dropout);
        let [hidden_size] = self.embeddings_norm.dims();
        let [batch, _, _] = hidden.dims();
        assert_shape!(hidden, [batch, _, hidden_size]);
        let first = hidden.narrow(1, 0, 1).reshape([batch, hidden_size]);
        let first = match self.kind {
            RobertaKind::Bert => first,
            RobertaKind::Roberta | RobertaKind::XlmRoberta => drop_out(first),
        };
        let dense = activation::tanh(self.dense.forward(first));
        self.out_proj.forward(drop_out(dense))
    }
}

impl Weights for Roberta {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let (base, dense, output) = match self.kind {
            RobertaKind::Bert => ("bert", "bert.pooler.dense", "classifier"),
            RobertaKind::Roberta | RobertaKind::XlmRoberta => {
                ("roberta", "classifier.dense", "classifier.out_proj")
            }
        };
        let roberta = join(prefix, base);
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
        self.encoder.weights(&join(&roberta, "encoder"), visit);
        self.dense.weights(&join(prefix, dense), visit);
        self.out_proj.weights(&join(prefix, output), visit);
    }
}
