//! A classifier learns its labels.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::nn::{Dropout, Lengths, SequenceClassifier};
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
}

/// Texts of one step.
#[derive(Clone, Debug)]
pub struct ClassifierBatch {
    texts: Vec<EncodedText>,
    labels: Vec<i32>,
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
        ClassifierBatch {
            texts: examples
                .iter()
                .map(|example| example.text.clone())
                .collect(),
            labels: examples
                .iter()
                .map(|example| example.label as i32)
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
                    dropout: sources.as_mut().and_then(Iterator::next),
                };
                (part, idxs.len() as f64 / self.labels.len() as f64)
            })
            .collect()
    }
}

/// A classifier whose weights are all trained.
#[derive(Module, Debug)]
pub struct ClassifierModel {
    /// The classifier.
    pub classifier: SequenceClassifier,
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
    /// A classifier to be trained.
    pub fn new(classifier: SequenceClassifier, pad_token_id: i32) -> Self {
        Self {
            devices: classifier.device().into(),
            classifier,
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
        let logits = self.classifier.forward(input.with_dropout(batch.dropout));
        let labels =
            Tensor::<1, Int>::from_data(TensorData::new(batch.labels, [examples]), &device);
        let right = logits
            .clone()
            .argmax(1)
            .reshape([examples])
            .equal(labels.clone());
        let accuracy = right.float().cast(DType::F32).mean();
        let loss = token_logps(logits, labels).mean().neg();
        let values = vec![("accuracy", accuracy), ("loss", loss.clone())];
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
