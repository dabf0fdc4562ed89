//! DeBERTa-v2 and v3 for sequence classification.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/deberta_v2/modeling_deberta_v2.py>.
//! Attention weights are f32 before they are applied; everything else follows the weights' dtype.

use std::collections::HashMap;

use burn::module::{Initializer, Module};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, assert_shape, module};

use crate::kernels;
use crate::nn::encoder::attention::{SelfAttentionConfig, Wanted, Words};
use crate::nn::encoder::deberta_config::DebertaConfig;
use crate::nn::encoder::input::{ClassifierInput, token_type_embeddings};
use crate::nn::encoder::layer::{Encoder, EncoderConfig};
use crate::nn::encoder::position::{
    PositionTerm, PositionTerms, RelativeContext, relative_buckets,
};
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::{Dropout, drop_out};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::norm::LayerNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

impl DebertaConfig {
    /// Makes a classifier; its weights are drawn at random on first use.
    ///
    /// # Panics
    ///
    /// Panics if the shape does not pass [`DebertaConfig::check`].
    pub fn init(&self, device: &Device) -> Deberta {
        if let Err(error) = self.check() {
            panic!("a DeBERTa cannot have this config: {error}");
        }
        let std = self.initializer_range;
        let table = |rows| {
            Weight::init(
                &Initializer::Normal { mean: 0.0, std },
                [rows, self.hidden_size],
                device,
            )
        };
        let norm = || LayerNorm::new(self.hidden_size, self.layer_norm_eps, device);
        let terms: &[PositionTerm] = if self.relative_attention {
            &self.pos_att_type
        } else {
            &[]
        };
        let attention = SelfAttentionConfig {
            hidden_size: self.hidden_size,
            heads: self.num_attention_heads,
            share_att_key: self.share_att_key,
            position: PositionTerms::of(terms),
            suffix: "_proj",
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
            encoder: Encoder::new(encoder, device),
            rel_embeddings: self
                .relative_attention
                .then(|| table(2 * self.position_buckets.unwrap_or(max_relative_positions))),
            rel_norm: (self.relative_attention && self.norm_rel_ebd).then(norm),
            pooler: linear(self.hidden_size, self.hidden_size),
            classifier: linear(self.hidden_size, self.num_labels),
            position_buckets: self.position_buckets,
            max_relative_positions,
            pooler_activation: self.pooler_hidden_act,
            hidden_dropout_prob: self.hidden_dropout_prob,
            pooler_dropout: self.pooler_dropout,
            cls_dropout: self.cls_dropout.unwrap_or(self.hidden_dropout_prob),
        }
    }
}

/// A DeBERTa sequence classifier.
///
/// A burn [`Module`]. Frozen weights are no parameters, so burn's `save_file` leaves them out: walk
/// [`Weights::weights`] to write them.
#[doc(alias = "DebertaV2ForSequenceClassification")]
#[derive(Module, Debug)]
pub struct Deberta {
    word_embeddings: Weight<2>,
    position_embeddings: Option<Weight<2>>,
    token_type_embeddings: Option<Weight<2>>,
    embeddings_norm: LayerNorm,
    encoder: Encoder,
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

    pub(crate) fn keep_in_panels(&mut self) {
        self.encoder.keep_in_panels(Wanted::First);
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
        let token_types = token_types.filter(|_| self.token_type_embeddings.is_some());
        let dropout = dropout.as_ref();
        let [batch, seq] = input_ids.dims();
        assert_shape!(padding, [batch, seq]);
        let device = input_ids.device();
        let words = (dropout.is_none() && token_types.is_none())
            .then(|| self.words(&input_ids, &padding))
            .flatten();
        let hidden = match &words {
            Some(words) => words.spread(words.hidden.clone()),
            None => self.embed(input_ids, token_types, padding.clone()),
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
        let relative = relative.as_ref();
        self.encoder
            .forward(hidden, words, &padding, relative, dropout, wanted)
    }

    /// The hidden states before the first layer.
    ///
    /// # Shapes
    ///
    /// - input_ids, token_types, padding: `[batch, seq]`
    /// - output: `[batch, seq, hidden_size]`
    fn embed(
        &self,
        input_ids: Tensor<2, Int>,
        token_types: Option<Tensor<2, Int>>,
        padding: Tensor<2, Bool>,
    ) -> Tensor<3> {
        let [batch, seq] = input_ids.dims();
        let mut hidden = module::embedding(self.word_embeddings.val(), input_ids);
        if let Some(table) = &self.position_embeddings {
            hidden = hidden + table.val().narrow(0, 0, seq).unsqueeze();
        }
        if let Some(table) = &self.token_type_embeddings {
            hidden = hidden + token_type_embeddings(table.val(), token_types);
        }
        let [.., hidden_size] = hidden.dims();
        let padding = padding.unsqueeze_dim::<3>(2);
        let padding = padding.expand([batch, seq, hidden_size]);
        self.embeddings_norm.forward(hidden).mask_fill(padding, 0.0)
    }

    /// Collects the distinct words of a batch on a CPU, if they do not depend on their places and need no gradient. Padding
    /// is one more word.
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
            hidden: self.embed(words, None, padded).squeeze_dim(0),
            word_idxs: Tensor::from_data(tokens, &device),
        })
    }

    /// Computes the logits from the last hidden state of the first token: pooler, then classifier.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, n_labels]`
    pub fn classify(&self, hidden: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<2> {
        let [hidden_size] = self.embeddings_norm.dims();
        let [batch, _, _] = hidden.dims();
        assert_shape!(hidden, [batch, _, hidden_size]);
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
        self.encoder.weights(&encoder, visit);
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
