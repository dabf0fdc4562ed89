//! A language model learns to predict the next token, some tokens more than others.

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use super::dpo::token_logps;
use super::shards::step_in_parts;
use super::{Scalars, clip_global_norm};
use crate::nn::{Gemma, GemmaInput};
use crate::parallel;

/// A sequence of tokens with the weight of each as a target; a token that needs no prediction has weight zero.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageExample {
    /// The tokens.
    pub ids: Vec<i32>,
    /// As many weights.
    pub weights: Vec<f32>,
}

/// Sequences padded on the right to one length.
#[derive(Clone, Debug)]
pub struct LanguageBatch {
    ids: Vec<Vec<i32>>,
    segments: Vec<Vec<i32>>,
    weights: Vec<Vec<f32>>,
}

impl LanguageExample {
    /// The number of tokens, by which batches are sorted.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Brings examples into one batch.
    pub fn collate(examples: &[&Self]) -> LanguageBatch {
        let seq = examples
            .iter()
            .map(|example| example.len())
            .max()
            .unwrap_or(0);
        let pad = |row: &[i32]| {
            let mut row = row.to_vec();
            row.resize(seq, 0);
            row
        };
        LanguageBatch {
            ids: examples.iter().map(|example| pad(&example.ids)).collect(),
            segments: examples
                .iter()
                .map(|example| pad(&vec![1; example.len()]))
                .collect(),
            weights: examples
                .iter()
                .map(|example| example.weights.clone())
                .collect(),
        }
    }
}

impl LanguageBatch {
    /// One part for each core, each with its share of the targets' weight.
    fn parts(self, device: &Device) -> Vec<(Self, f64)> {
        let size = self.ids.len().div_ceil(parallel::workers(device)).max(1);
        let weight =
            |rows: &[Vec<f32>]| rows.iter().flat_map(|row| row.iter().skip(1)).sum::<f32>() as f64;
        let total = weight(&self.weights);
        self.ids
            .chunks(size)
            .zip(self.segments.chunks(size))
            .zip(self.weights.chunks(size))
            .map(|((ids, segments), weights)| {
                let part = Self {
                    ids: ids.to_vec(),
                    segments: segments.to_vec(),
                    weights: weights.to_vec(),
                };
                (part, weight(weights) / total)
            })
            .collect()
    }
}

/// A Gemma whose weights are all trained.
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// The model.
    pub gemma: Gemma,
}

impl LanguageModel {
    /// Weighted mean of the negative log-probabilities of the targets, and how many weigh anything.
    fn forward(&self, batch: LanguageBatch) -> (Tensor<1>, Scalars) {
        let device = self.gemma.device();
        let seq = batch.ids.first().map_or(0, Vec::len);
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (row_idx, (ids, row_weights)) in batch.ids.iter().zip(&batch.weights).enumerate() {
            for (position, &weight) in row_weights
                .iter()
                .enumerate()
                .skip(1)
                .filter(|(_, weight)| **weight > 0.0)
            {
                rows.push((row_idx * seq + position - 1) as i32);
                targets.push(ids[position]);
                weights.push(weight);
            }
        }
        let n_targets = targets.len();
        let total: f32 = weights.iter().sum();
        let hidden = self
            .gemma
            .hidden_states(GemmaInput::new(&batch.ids, &batch.segments, &device), None);
        let [batch_size, seq, hidden_size] = hidden.dims();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_targets]), &device);
        let hidden = hidden
            .reshape([batch_size * seq, hidden_size])
            .select(0, rows);
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n_targets]), &device);
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [n_targets]), &device);
        let logps = token_logps(self.gemma.logits(hidden), targets);
        let loss = (logps * weights).sum().neg() / total;
        let value = loss.clone().into_scalar::<f64>();
        (
            loss,
            Scalars {
                values: vec![("loss", value)],
                examples: n_targets,
            },
        )
    }
}

impl TrainStep for LanguageModel {
    type Input = LanguageBatch;
    type Output = Scalars;

    fn step(&self, batch: LanguageBatch) -> TrainOutput<Scalars> {
        let (grads, item) = step_in_parts(
            self,
            batch.parts(&self.gemma.device()),
            &self.gemma.device(),
            Self::forward,
        );
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

impl InferenceStep for LanguageModel {
    type Input = LanguageBatch;
    type Output = Scalars;

    fn step(&self, batch: LanguageBatch) -> Scalars {
        self.forward(batch).1
    }
}
