//! An encoder of sentences learns which statement of a persona a query is about.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::nn::{Dropout, Lengths, Pooling, SequenceClassifier};
use crate::parallel::Devices;
use crate::text::{EncodedText, classifier_input};
use crate::train::dropout::StepDropout;
use crate::train::shards::{step_in_parts, whole_step};
use crate::train::{Scalars, clip_global_norm, token_logps};

/// Queries, and the statements among which each has one to find.
#[derive(Clone, Debug, PartialEq)]
pub struct RankingExample {
    /// What is asked.
    pub queries: Vec<EncodedText>,
    /// All statements of a persona.
    pub statements: Vec<EncodedText>,
    /// For each query the index of the statement that it is about.
    pub targets: Vec<usize>,
}

/// Examples of one step.
#[derive(Clone, Debug)]
pub struct RankingBatch {
    examples: Vec<RankingExample>,
    dropout: Option<Dropout>,
}

impl RankingExample {
    /// The number of queries, by which batches are sorted.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// Brings examples into one batch.
    pub fn collate(examples: &[&Self]) -> RankingBatch {
        RankingBatch {
            examples: examples.iter().map(|example| (*example).clone()).collect(),
            dropout: None,
        }
    }
}

impl RankingBatch {
    /// A part for each example, with its share of the queries and its own dropout, if there is any.
    fn parts(self, dropout: Option<&StepDropout>) -> Vec<(Self, f64)> {
        let mut sources = dropout.map(StepDropout::next);
        let all: usize = self.examples.iter().map(RankingExample::len).sum();
        let examples = self.examples.into_iter().map(|example| {
            let share = example.len() as f64 / all.max(1) as f64;
            let part = Self {
                examples: vec![example],
                dropout: sources.as_mut().and_then(Iterator::next),
            };
            (part, share)
        });
        examples.collect()
    }
}

/// An encoder of sentences whose weights are all trained: the cross entropy of a softmax over the statements' cosines, times
/// [`RankingModel::SCALE`], as sentence-transformers' multiple negatives ranking loss has it.
#[derive(Module, Debug)]
pub struct RankingModel {
    /// The encoder.
    pub encoder: SequenceClassifier,
    #[module(skip)]
    pooling: Pooling,
    pad_token_id: i32,
    #[module(skip)]
    devices: Devices,
    #[module(skip)]
    dropout: Option<Arc<StepDropout>>,
}

impl RankingModel {
    /// What cosines are multiplied with before the softmax.
    pub const SCALE: f64 = 20.0;

    /// An encoder to be trained.
    pub fn new(encoder: SequenceClassifier, pooling: Pooling, pad_token_id: i32) -> Self {
        Self {
            devices: encoder.device().into(),
            encoder,
            pooling,
            pad_token_id,
            dropout: None,
        }
    }

    /// Sets the dropout of the training steps, if there is any.
    pub fn with_dropout(mut self, dropout: Option<Arc<StepDropout>>) -> Self {
        self.dropout = dropout;
        self
    }

    /// The mean loss of all queries.
    fn forward(&self, batch: RankingBatch) -> (Tensor<1>, Scalars) {
        let RankingBatch { examples, dropout } = batch;
        let device = self.encoder.device();
        let mut losses = Vec::with_capacity(examples.len());
        let mut right = Vec::with_capacity(examples.len());
        for example in &examples {
            let (n_queries, n_statements) = (example.queries.len(), example.statements.len());
            let texts: Vec<&EncodedText> =
                example.queries.iter().chain(&example.statements).collect();
            let lengths = Lengths::on(&device);
            let input = classifier_input(&self.encoder, &texts, self.pad_token_id, lengths);
            let input = input.with_dropout(dropout.clone());
            let padding = input.padding.clone();
            let embeddings = self
                .pooling
                .embed(self.encoder.hidden_states(input), padding);
            let queries = embeddings.clone().narrow(0, 0, n_queries);
            let statements = embeddings.narrow(0, n_queries, n_statements);
            let cosines = queries.matmul(statements.transpose()); // [queries, statements]
            let ids: Vec<i32> = example
                .targets
                .iter()
                .map(|&target| target as i32)
                .collect();
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n_queries]), &device);
            let found = cosines
                .clone()
                .argmax(1)
                .reshape([n_queries])
                .equal(ids.clone());
            right.push(found.float().cast(DType::F32).sum());
            losses.push(token_logps(cosines * Self::SCALE, ids).sum().neg());
        }
        let n_queries: usize = examples.iter().map(RankingExample::len).sum();
        let mean = |sums: Vec<Tensor<1>>| Tensor::cat(sums, 0).sum() / n_queries as f64;
        let loss = mean(losses);
        let values = vec![("accuracy", mean(right)), ("loss", loss.clone())];
        (loss, Scalars::read(values, n_queries))
    }
}

impl TrainStep for RankingModel {
    type Input = RankingBatch;
    type Output = Scalars;

    fn step(&self, batch: RankingBatch) -> TrainOutput<Scalars> {
        let parts = batch.parts(self.dropout.as_deref());
        let models = vec![self.clone(); self.devices.count()];
        let step = whole_step(Self::forward);
        let (grads, item) = step_in_parts(&models, &self.devices, parts, step);
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        let (grads, _) = clip_global_norm(&self, grads, 1.0);
        optim.step(lr, self, grads)
    }
}

impl InferenceStep for RankingModel {
    type Input = RankingBatch;
    type Output = Scalars;

    fn step(&self, batch: RankingBatch) -> Scalars {
        self.forward(batch).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{RobertaConfig, RobertaKind, SequenceClassifierConfig, Weights};
    use burn::tensor::Device;

    fn text(ids: &[i32]) -> EncodedText {
        [&[1], ids, &[2]].concat().into()
    }

    fn example(shift: usize) -> RankingExample {
        RankingExample {
            queries: vec![text(&[3]), text(&[4, 5]), text(&[6])],
            statements: vec![text(&[7, 8]), text(&[9]), text(&[10, 11, 12])],
            targets: (0..3).map(|query| (query + shift) % 3).collect(),
        }
    }

    #[test]
    fn an_encoder_learns_which_statement_a_query_is_about() {
        let device = Device::flex();
        device.seed(3);
        let config = RobertaConfig::new()
            .with_kind(RobertaKind::Bert)
            .with_vocab_size(16)
            .with_hidden_size(16)
            .with_intermediate_size(32)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_max_position_embeddings(16)
            .with_pad_token_id(0)
            .with_initializer_range(0.3);
        let mut encoder = SequenceClassifierConfig::Roberta(config).init(&device);
        encoder.unfreeze_weights();
        let mut model = RankingModel::new(encoder, Pooling::Mean, 0);
        let mut short = example(1);
        short.queries.truncate(1);
        short.targets.truncate(1);
        let batch = RankingExample::collate(&[&example(1), &short]);
        let measure = |model: &RankingModel| InferenceStep::step(model, batch.clone());
        let before = measure(&model).get("loss").unwrap();
        let mut optimizer: ModuleOptimizer = crate::train::AdamW::new().into();
        for _ in 0..40 {
            let step = TrainStep::step(&model, batch.clone());
            model = model.optimize(&mut optimizer, 1e-2.into(), step.grads);
        }
        let after = measure(&model);
        assert_eq!(after.get("accuracy"), Some(1.0));
        assert!(
            after.get("loss").unwrap() < 0.5 * before,
            "{after:?} {before}"
        );
        // Each example is a part of a batch by its share of the queries.
        let parts = batch.clone().parts(None);
        let cut: f64 = parts
            .into_iter()
            .map(|(part, share)| share * InferenceStep::step(&model, part).get("loss").unwrap())
            .sum();
        assert!((cut - after.get("loss").unwrap()).abs() < 1e-5);
    }
}
