//! A language model learns to predict the next token, some tokens more than others.

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::nn::{Decoder, DecoderInput, Lengths};
use crate::parallel::Devices;
use crate::train::shards::{step_in_parts, whole_step};
use crate::train::{Scalars, clip_global_norm, token_logps};

/// A sequence of tokens with the weight of each as a target; a token that needs no prediction has weight zero.
///
/// The first segment is seen by all others, which do not see each other: several continuations of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LanguageExample {
    ids: Vec<i32>,
    segments: Vec<i32>,
    weights: Vec<f32>,
}

/// Sequences padded on the right to one length.
#[derive(Clone, Debug)]
pub struct LanguageBatch {
    examples: Vec<LanguageExample>,
}

impl LanguageExample {
    /// Adds tokens to segment 1, the prompt, or to one of its continuations, 2 and up.
    pub fn extend(&mut self, segment: i32, ids: &[i32], weight: f32) {
        self.ids.extend(ids);
        self.segments.resize(self.ids.len(), segment);
        self.weights.resize(self.ids.len(), weight);
    }

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
        let mut batch = LanguageBatch {
            examples: examples.iter().map(|&example| example.clone()).collect(),
        };
        batch.pad(seq);
        batch
    }

    /// The tokens that weigh anything, each with the position from which it is predicted.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (usize, i32, f32)> {
        let shared = self
            .segments
            .iter()
            .filter(|&&segment| segment == 1)
            .count();
        (1..self.ids.len())
            .filter(|&position| self.weights[position] > 0.0)
            .map(move |position| {
                let starts = self.segments[position] != self.segments[position - 1];
                let before = if starts { shared } else { position } - 1;
                (before, self.ids[position], self.weights[position])
            })
    }
}

impl LanguageBatch {
    /// Pads on the right to `seq` tokens.
    fn pad(&mut self, seq: usize) {
        for example in &mut self.examples {
            let padding = vec![0; seq - example.len()];
            example.extend(0, &padding, 0.0);
        }
    }

    /// Splits the batch into at most `n_parts`, each with its share of the targets' weight.
    fn parts(self, n_parts: usize) -> Vec<(Self, f64)> {
        let size = self.examples.len().div_ceil(n_parts).max(1);
        let weight = |examples: &[LanguageExample]| -> f64 {
            let targets = examples.iter().flat_map(LanguageExample::targets);
            targets.map(|(_, _, weight)| f64::from(weight)).sum()
        };
        let total = weight(&self.examples);
        self.examples
            .chunks(size)
            .map(|examples| {
                let part = Self {
                    examples: examples.to_vec(),
                };
                (part, weight(examples) / total)
            })
            .collect()
    }
}

/// A decoder whose weights are all trained.
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// The model.
    pub gemma: Decoder,
}

impl LanguageModel {
    /// Weighted mean of the negative log-probabilities of the targets, and how many weigh anything.
    fn forward(&self, mut batch: LanguageBatch, lengths: Lengths) -> (Tensor<1>, Scalars) {
        let device = self.gemma.device();
        let seq = lengths.round(batch.examples.first().map_or(0, LanguageExample::len));
        batch.pad(seq);
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (row_idx, example) in batch.examples.iter().enumerate() {
            for (before, target, weight) in example.targets() {
                rows.push((row_idx * seq + before) as i32);
                targets.push(target);
                weights.push(weight);
            }
        }
        let n_targets = targets.len();
        // Padding of the targets has weight zero.
        let n_rows = lengths.round(n_targets);
        rows.resize(n_rows, 0);
        targets.resize(n_rows, 0);
        weights.resize(n_rows, 0.0);
        let total: f32 = weights.iter().sum();
        let (ids, segments): (Vec<_>, Vec<_>) = batch
            .examples
            .into_iter()
            .map(|example| (example.ids, example.segments))
            .unzip();
        let input = DecoderInput::with_segments(&ids, &segments, &device);
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_rows]), &device);
        let hidden = self.gemma.hidden_states_at(input, None, rows);
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n_rows]), &device);
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [n_rows]), &device);
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
        let devices = Devices::from(self.gemma.device());
        let lengths = Lengths::on(devices.first());
        let parts = batch.parts(devices.workers());
        let models = std::slice::from_ref(self);
        let step = whole_step(|model: &Self, part| model.forward(part, lengths));
        let (grads, item) = step_in_parts(models, &devices, parts, step);
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
        self.forward(batch, Lengths::on(&self.gemma.device())).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::DecoderConfig;
    use burn::tensor::Device;

    fn example(parts: &[(i32, &[i32], f32)]) -> LanguageExample {
        let mut example = LanguageExample::default();
        for (segment, ids, weight) in parts {
            example.extend(*segment, ids, *weight);
        }
        example
    }

    #[test]
    fn two_continuations_behind_one_text_have_the_loss_of_two_texts() {
        let device = Device::flex();
        device.seed(5);
        let gemma = DecoderConfig::gemma_2b()
            .with_vocab_size(30)
            .with_hidden_size(16)
            .with_intermediate_size(32)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(2)
            .with_num_key_value_heads(2)
            .with_head_dim(8)
            .with_initializer_range(0.3)
            .init(&device);
        let model = LanguageModel { gemma };
        let loss = |examples: &[&LanguageExample]| {
            let losses = [Lengths::Exact, Lengths::Bucketed].map(|lengths| {
                let (_, scalars) = model.forward(LanguageExample::collate(examples), lengths);
                scalars.values[0].1
            });
            assert!((losses[0] - losses[1]).abs() < 1e-6, "{losses:?}");
            losses[0]
        };
        let (text, first, second): (&[i32], &[i32], &[i32]) =
            (&[1, 5, 6, 7], &[8, 9], &[10, 11, 12]);
        let together = example(&[(1, text, 1.0), (2, first, 4.0), (3, second, 4.0)]);
        let apart = [
            example(&[(1, text, 1.0), (1, first, 4.0)]),
            example(&[(1, text, 0.0), (1, second, 4.0)]),
        ];
        assert!((loss(&[&together]) - loss(&[&apart[0], &apart[1]])).abs() < 1e-5);
    }
}
