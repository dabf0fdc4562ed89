//! A classifier learns its label, and on request whether each token agrees with the statement.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::nn::{Dropout, Lengths, Linear, SequenceClassifier};
use crate::parallel::Devices;
use crate::text::{EncodedText, classifier_input};
use crate::train::dropout::StepDropout;
use crate::train::shards::{even_parts, step_in_parts, whole_step};
use crate::train::steps::StepRecorder;
use crate::train::{Scalars, clip_global_norm, token_logps};

/// A text with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierExample {
    /// The text, or the pair of texts.
    pub text: EncodedText,
    /// The class.
    pub label: usize,
    /// For tokens that can agree or disagree: their position, and whether they disagree.
    pub tokens: Vec<(usize, bool)>,
}

/// Texts of one step.
#[derive(Clone, Debug)]
pub struct ClassifierBatch {
    texts: Vec<EncodedText>,
    labels: Vec<i32>,
    tokens: Vec<Vec<(usize, bool)>>,
    /// How many of these a text has, on average.
    mean_tokens: f64,
    dropout: Option<Dropout>,
}

impl ClassifierExample {
    /// The number of tokens, by which batches are sorted.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Brings examples into one batch.
    pub fn collate(examples: &[&Self]) -> ClassifierBatch {
        let n_tokens: usize = examples.iter().map(|example| example.tokens.len()).sum();
        ClassifierBatch {
            mean_tokens: n_tokens as f64 / examples.len() as f64,
            texts: examples
                .iter()
                .map(|example| example.text.clone())
                .collect(),
            labels: examples
                .iter()
                .map(|example| example.label as i32)
                .collect(),
            tokens: examples
                .iter()
                .map(|example| example.tokens.clone())
                .collect(),
            dropout: None,
        }
    }
}

impl ClassifierBatch {
    /// Splits the batch into at most `n_parts`, each with its share of the examples and its own dropout, if there is any.
    fn parts(self, n_parts: usize, dropout: Option<&StepDropout>) -> Vec<(Self, f64)> {
        let mut sources = dropout.map(StepDropout::next);
        let lengths: Vec<usize> = self.texts.iter().map(EncodedText::len).collect();
        even_parts(&lengths, n_parts)
            .into_iter()
            .map(|idxs| {
                let part = Self {
                    texts: idxs.iter().map(|&idx| self.texts[idx].clone()).collect(),
                    labels: idxs.iter().map(|&idx| self.labels[idx]).collect(),
                    tokens: idxs.iter().map(|&idx| self.tokens[idx].clone()).collect(),
                    mean_tokens: self.mean_tokens,
                    dropout: sources.as_mut().and_then(Iterator::next),
                };
                (part, idxs.len() as f64 / self.labels.len() as f64)
            })
            .collect()
    }
}

/// A classifier whose weights are all trained, with a second head that is dropped after training.
///
/// From class labels alone, a small model trained from scratch does not learn to compare statement and reply. The second
/// head predicts for every token whether it was replaced, which is how DeBERTa-v3 is pretrained.
#[derive(Module, Debug)]
pub struct ClassifierModel {
    /// The classifier.
    pub classifier: SequenceClassifier,
    /// Two logits for each token, hidden states in.
    pub token_head: Option<Linear>,
    pad_token_id: i32,
    max_grad_norm: Option<f64>,
    #[module(skip)]
    devices: Devices,
    #[module(skip)]
    dropout: Option<Arc<StepDropout>>,
    #[module(skip)]
    recorder: Option<Arc<StepRecorder>>,
}

impl ClassifierModel {
    /// A classifier to be trained, with or without the second head.
    pub fn new(
        classifier: SequenceClassifier,
        token_head: Option<Linear>,
        pad_token_id: i32,
    ) -> Self {
        Self {
            devices: classifier.device().into(),
            classifier,
            token_head,
            pad_token_id,
            max_grad_norm: None,
            dropout: None,
            recorder: None,
        }
    }

    /// Clips the global norm of the gradients.
    pub fn with_max_grad_norm(mut self, max_grad_norm: f64) -> Self {
        self.max_grad_norm = Some(max_grad_norm);
        self
    }

    /// Splits each batch over these devices; the model is on the first.
    pub fn with_devices(mut self, devices: &Devices) -> Self {
        self.devices = devices.clone();
        self
    }

    /// Sets the dropout of the training steps, if there is any.
    pub fn with_dropout(mut self, dropout: Option<Arc<StepDropout>>) -> Self {
        self.dropout = dropout;
        self
    }

    /// Sends the optimizer steps to `recorder`, if there is one.
    pub fn with_recorder(mut self, recorder: Option<Arc<StepRecorder>>) -> Self {
        self.recorder = recorder;
        self
    }

    fn forward(&self, batch: ClassifierBatch) -> (Tensor<1>, Scalars) {
        let device = self.classifier.device();
        let examples = batch.labels.len();
        let lengths = Lengths::on(&device);
        let texts: Vec<&EncodedText> = batch.texts.iter().collect();
        let input = classifier_input(&self.classifier, &texts, self.pad_token_id, lengths);
        let dropout = batch.dropout;
        let input = input.with_dropout(dropout.clone());
        // Without the second head nothing but the first token's hidden state is wanted.
        let (logits, hidden) = match &self.token_head {
            Some(head) => {
                let hidden = self.classifier.hidden_states(input);
                let logits = self.classifier.classify(hidden.clone(), dropout.as_ref());
                (logits, Some((head, hidden)))
            }
            None => (self.classifier.forward(input), None),
        };
        let labels =
            Tensor::<1, Int>::from_data(TensorData::new(batch.labels, [examples]), &device);
        let right = logits
            .clone()
            .argmax(1)
            .reshape([examples])
            .equal(labels.clone());
        let accuracy = right.float().cast(DType::F32).mean();
        let mut loss = token_logps(logits, labels).mean().neg();
        let mut values = vec![("accuracy", accuracy)];

        if let Some((head, hidden)) = hidden {
            let [_, seq, hidden_size] = hidden.dims();
            let (mut rows, mut targets) = (Vec::new(), Vec::new());
            for (row_idx, tokens) in batch.tokens.iter().enumerate() {
                let rows_of = tokens.iter().map(|(position, _)| row_idx * seq + position);
                rows.extend(rows_of.map(|row| row as i32));
                targets.extend(tokens.iter().map(|(_, disagrees)| i32::from(*disagrees)));
            }
            let n_rows = rows.len();
            if n_rows > 0 {
                let ids =
                    |ids| Tensor::<1, Int>::from_data(TensorData::new(ids, [n_rows]), &device);
                let hidden = hidden
                    .reshape([examples * seq, hidden_size])
                    .select(0, ids(rows));
                // Parts of a batch count by their texts, and so must their tokens.
                let sum = token_logps(head.forward(hidden), ids(targets)).sum().neg();
                let token_loss = sum / (batch.mean_tokens * examples as f64);
                values.push(("token_loss", token_loss.clone()));
                loss = loss + token_loss;
            }
        }
        values.push(("loss", loss.clone()));
        (loss, Scalars::read(values, examples))
    }
}

impl TrainStep for ClassifierModel {
    type Input = ClassifierBatch;
    type Output = Scalars;

    fn step(&self, batch: ClassifierBatch) -> TrainOutput<Scalars> {
        let parts = batch.parts(self.devices.workers(), self.dropout.as_deref());
        // All weights are trained, so each device gets a new copy.
        let models = vec![self.clone(); self.devices.count()];
        let step = whole_step(Self::forward);
        let (grads, item) = step_in_parts(&models, &self.devices, parts, step);
        if let Some(recorder) = &self.recorder {
            recorder.add(&item);
        }
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        mut grads: GradientsParams,
    ) -> Self {
        // The norm takes a pass over all gradients.
        if self.max_grad_norm.is_some() || self.recorder.is_some() {
            let max_norm = self.max_grad_norm.unwrap_or(f64::INFINITY);
            let (clipped, norm) = clip_global_norm(&self, grads, max_norm);
            if let Some(recorder) = &self.recorder {
                recorder.finish(norm, lr.base());
            }
            grads = clipped;
        }
        optim.step(lr, self, grads)
    }
}

impl InferenceStep for ClassifierModel {
    type Input = ClassifierBatch;
    type Output = Scalars;

    fn step(&self, batch: ClassifierBatch) -> Scalars {
        self.forward(batch).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{DebertaConfig, SequenceClassifierConfig};
    use burn::tensor::Device;

    #[test]
    fn every_token_counts_the_same_however_a_batch_is_cut() {
        let device = Device::default();
        device.seed(2);
        let config = DebertaConfig::deberta_v3_base()
            .with_vocab_size(20)
            .with_hidden_size(8)
            .with_intermediate_size(16)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_labels(2)
            .with_initializer_range(0.5);
        let classifier = SequenceClassifierConfig::Deberta(config).init(&device);
        let head = Linear::new(8, 2, true, 0.5, &device);
        let model = ClassifierModel::new(classifier, Some(head), 0);
        let example = |n_tokens: usize| ClassifierExample {
            text: (1..=n_tokens as i32 + 1).collect::<Vec<_>>().into(),
            label: 0,
            tokens: (0..n_tokens)
                .map(|position| (position, position % 2 == 0))
                .collect(),
        };
        let batch = ClassifierExample::collate(&[&example(1), &example(9)]);
        let loss = |batch: ClassifierBatch| {
            let scalars = InferenceStep::step(&model, batch);
            scalars.get("token_loss").expect("there are tokens")
        };
        let parts = batch.clone().parts(2, None);
        assert_eq!(parts.len(), 2);
        let cut: f64 = parts
            .into_iter()
            .map(|(part, share)| loss(part) * share)
            .sum();
        let whole = loss(batch);
        assert!((whole - cut).abs() < 1e-5, "{whole} {cut}");
    }
}
