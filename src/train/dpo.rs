//! Direct preference optimization (Rafailov et al., arXiv 2305.18290) of LoRA factors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::config::Config;
use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Tensor, TensorData, activation};
use burn::train::{InferenceStep, TrainOutput, TrainStep};
use serde::{Deserialize, Serialize};

use crate::nn::{Decoder, Lengths};
use crate::parallel::Replicas;
use crate::train::Scalars;
use crate::train::clip::{clip_global_norm, scale};
use crate::train::pairs::{DpoBatch, DpoPair, ReplyTokens, reply_logps};
use crate::train::recompute::gradients_by_layer;
use crate::train::shards::{step_in_parts, whole_step};
use crate::train::steps::StepRecorder;

/// The loss as a function of the difference between the two replies, by TRL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossType {
    /// The loss of DPO itself.
    Sigmoid,
    /// A hinge at a margin of one (SLiC, arXiv 2305.10425).
    Hinge,
    /// The squared distance of the difference per token from `1 / 2β` (IPO, arXiv 2310.12036).
    Ipo,
}

/// DPO's settings.
#[derive(Config, Debug)]
pub struct DpoConfig {
    /// How strongly the policy is kept close to the reference.
    #[config(default = 0.1)]
    pub beta: f64,
    /// The loss function.
    #[config(default = "LossType::Sigmoid")]
    pub loss_type: LossType,
    /// The share of preferences assumed to be wrong, from 0 to 0.5; used by the sigmoid loss only.
    #[config(default = 0.0)]
    pub label_smoothing: f64,
    /// Weight of a second loss, the mean negative log-probability of the chosen replies' tokens: without it both replies
    /// often become less likely in favour of others that no pair contains (arXiv 2404.19733).
    #[config(default = 0.0)]
    pub sft_weight: f64,
    /// Largest norm of all gradients together.
    #[config(default = 1.0)]
    pub max_grad_norm: f64,
    /// How many batches make one optimizer step.
    #[config(default = 1)]
    pub accumulate: usize,
}

/// The losses of TRL's `DPOTrainer`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpoLoss {
    /// The loss function.
    pub loss_type: LossType,
    /// How strongly the policy is kept close to the reference.
    pub beta: f64,
    /// The share of preferences assumed to be wrong.
    pub label_smoothing: f64,
}

/// Loss and rewards of a batch.
#[derive(Clone, Debug)]
pub struct DpoStep {
    /// Mean loss, `[1]`.
    pub loss: Tensor<1>,
    /// β times how much likelier each reply became, `[pairs, 2]`.
    pub rewards: Tensor<2>,
}

impl DpoLoss {
    /// With `x = (π_c − π_r) − (ref_c − ref_r)` and ε for the label smoothing:
    ///
    /// - sigmoid: `−(1 − ε)·log σ(β·x) − ε·log σ(−β·x)`
    /// - hinge: `max(0, 1 − β·x)`
    /// - ipo: `(x̄ − 1 / 2β)²`, where in `x̄` each reply's part is divided by its number of tokens
    ///
    /// # Shapes
    ///
    /// - policy, reference, lengths (the numbers of tokens): `[pairs, 2]`, chosen first
    pub fn forward(&self, policy: Tensor<2>, reference: Tensor<2>, lengths: Tensor<2>) -> DpoStep {
        let difference =
            |replies: &Tensor<2>| replies.clone().narrow(1, 0, 1) - replies.clone().narrow(1, 1, 1);
        let logratios = policy - reference;
        let rewards = logratios.clone() * self.beta;
        let margins = difference(&rewards);
        let losses = match self.loss_type {
            LossType::Sigmoid if self.label_smoothing == 0.0 => {
                activation::log_sigmoid(margins).neg()
            }
            LossType::Sigmoid => {
                let right = activation::log_sigmoid(margins.clone()) * (1.0 - self.label_smoothing);
                let wrong = activation::log_sigmoid(margins.neg()) * self.label_smoothing;
                (right + wrong).neg()
            }
            LossType::Hinge => activation::relu(margins.neg() + 1.0),
            LossType::Ipo => (difference(&(logratios / lengths)) - 0.5 / self.beta).square(),
        };
        DpoStep {
            loss: losses.mean(),
            rewards: rewards.without_autodiff(),
        }
    }
}

/// A decoder with frozen weights whose LoRA factors are trained.
#[derive(Module, Debug)]
pub struct DpoModel {
    /// The model.
    pub policy: Decoder,
    #[module(skip)]
    dpo_loss: DpoLoss,
    sft_weight: f64,
    max_grad_norm: f64,
    gradient_checkpointing: bool,
    /// The frozen weights on every device that takes part.
    #[module(skip)]
    bases: Replicas<Decoder>,
    /// How many steps' gradients the next optimizer step gets.
    #[module(skip)]
    steps: Arc<AtomicUsize>,
    #[module(skip)]
    recorder: Option<Arc<StepRecorder>>,
}

impl DpoModel {
    /// A model with LoRA factors to be trained.
    pub fn new(policy: Decoder, config: &DpoConfig) -> Self {
        Self {
            bases: Replicas::new(policy.without_lora(), &policy.device().into()),
            policy,
            dpo_loss: DpoLoss {
                loss_type: config.loss_type,
                beta: config.beta,
                label_smoothing: config.label_smoothing,
            },
            sft_weight: config.sft_weight,
            max_grad_norm: config.max_grad_norm,
            gradient_checkpointing: false,
            steps: Arc::default(),
            recorder: None,
        }
    }

    /// Turns gradient checkpointing on or off. With it the forward pass keeps only the inputs of each layer and the backward
    /// pass recomputes the rest: slower, with one layer's activations in memory at a time.
    pub fn with_gradient_checkpointing(mut self, gradient_checkpointing: bool) -> Self {
        self.gradient_checkpointing = gradient_checkpointing;
        self
    }

    /// Splits each batch over the devices of `bases`, which are copies of the frozen model; the policy is on the first.
    pub fn with_bases(mut self, bases: &Replicas<Decoder>) -> Self {
        self.bases = bases.clone();
        self
    }

    /// Sends the optimizer steps to `recorder`, if there is one.
    pub fn with_recorder(mut self, recorder: Option<Arc<StepRecorder>>) -> Self {
        self.recorder = recorder;
        self
    }

    fn forward(&self, batch: DpoBatch) -> (Tensor<1>, Scalars) {
        let policy = reply_logps(&self.policy, &batch);
        self.loss(&batch, policy)
    }

    /// The gradients of the factors, with one layer's activations in memory at a time.
    fn step_by_layer(&self, batch: DpoBatch, weight: f64) -> (GradientsParams, Scalars) {
        let device = self.policy.device();
        let replies = ReplyTokens::new(&batch, Lengths::on(&device), &device);
        let (input, before) = (replies.input(), replies.before.clone());
        gradients_by_layer(&self.policy, input, before, |hidden| {
            let (loss, scalars) = self.loss(&batch, replies.logps(&self.policy, hidden));
            (loss * weight, scalars)
        })
    }

    /// The loss of a batch and its numbers from the summed log-probabilities of its replies, `[pairs, 2]`.
    fn loss(&self, batch: &DpoBatch, policy: Tensor<2>) -> (Tensor<1>, Scalars) {
        let device = self.policy.device();
        let examples = batch.n_pairs();
        let of_replies = |numbers: &dyn Fn(&DpoPair) -> [f32; 2]| {
            let numbers = batch.pairs().flat_map(numbers).collect();
            Tensor::<2>::from_data(TensorData::new(numbers, [examples, 2]), &device)
        };
        let reference = of_replies(&|pair| pair.reference.map(|logp| logp as f32));
        let lengths =
            of_replies(&|pair| [&pair.chosen, &pair.rejected].map(|reply| reply.len() as f32));
        let logps = policy.clone().without_autodiff();
        let sft = policy.clone().narrow(1, 0, 1).mean().neg() / batch.chosen_tokens;
        let DpoStep { loss, rewards } = self.dpo_loss.forward(policy, reference, lengths);
        let loss = loss + sft * self.sft_weight;
        let margins = rewards.clone().narrow(1, 0, 1) - rewards.clone().narrow(1, 1, 1);
        let mean = |values: &Tensor<2>, column| values.clone().narrow(1, column, 1).mean();
        let values = vec![
            ("loss", loss.clone()),
            ("rewards/chosen", mean(&rewards, 0)),
            ("rewards/rejected", mean(&rewards, 1)),
            ("rewards/margins", margins.clone().mean()),
            (
                "rewards/accuracies",
                margins.greater_elem(0.0).float().cast(DType::F32).mean(),
            ),
            ("logps/chosen", mean(&logps, 0)),
            ("logps/rejected", mean(&logps, 1)),
        ];
        (loss, Scalars::read(values, examples))
    }

    /// The names of the numbers that a step returns, and whether higher is better.
    pub const METRICS: [(&'static str, bool); 7] = [
        ("loss", false),
        ("rewards/chosen", true),
        ("rewards/rejected", false),
        ("rewards/margins", true),
        ("rewards/accuracies", true),
        ("logps/chosen", true),
        ("logps/rejected", false),
    ];
}

impl TrainStep for DpoModel {
    type Input = Vec<DpoBatch>;
    type Output = Scalars;

    /// Gives the means over the batches.
    fn step(&self, batches: Vec<DpoBatch>) -> TrainOutput<Scalars> {
        let devices = self.bases.devices();
        let n_batches = batches.len();
        let n_parts = devices.workers().div_ceil(n_batches);
        let parts = batches
            .into_iter()
            .flat_map(|batch| batch.parts(n_parts))
            .map(|(part, share)| (part, share / n_batches as f64))
            .collect();
        // The other devices have all but the factors.
        let others = self.bases.iter().skip(1).map(|base| Self {
            policy: base.with_lora_of(&self.policy),
            ..self.clone()
        });
        let models: Vec<Self> = std::iter::once(self.clone()).chain(others).collect();
        let (grads, item) = if self.gradient_checkpointing {
            step_in_parts(&models, devices, parts, Self::step_by_layer)
        } else {
            step_in_parts(&models, devices, parts, whole_step(Self::forward))
        };
        self.steps.fetch_add(1, Ordering::SeqCst);
        if let Some(recorder) = &self.recorder {
            recorder.add(&item);
        }
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        // The learner has summed the gradients; the last optimizer step of an epoch may have fewer than the others.
        let steps = self.steps.swap(0, Ordering::SeqCst).max(1);
        let grads = scale(&self, grads, 1.0 / steps as f64);
        let (grads, norm) = clip_global_norm(&self, grads, self.max_grad_norm);
        if let Some(recorder) = &self.recorder {
            recorder.finish(norm, lr.base());
        }
        optim.step(lr, self, grads)
    }
}

impl InferenceStep for DpoModel {
    type Input = DpoBatch;
    type Output = Scalars;

    fn step(&self, batch: DpoBatch) -> Scalars {
        self.forward(batch).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{LoraConfig, Weights};
    use crate::train::DpoExample;
    use crate::train::pairs::tests::{example, model, models, pair};
    use burn::tensor::{Device, Distribution, Tolerance};

    #[test]
    fn the_sft_loss_is_the_mean_over_the_chosen_tokens_of_the_whole_batch_however_it_is_cut() {
        let examples = [
            example(&[pair(&[10, 1], &[11, 1]), pair(&[12, 13, 14, 1], &[1])]),
            example(&[pair(&[15, 16, 17, 18, 19, 1], &[20, 1])]),
        ];
        let gemma = model();
        let batch = DpoExample::collate(&examples.each_ref());
        let logps: Vec<f32> = reply_logps(&gemma, &batch)
            .into_data()
            .try_to_vec()
            .unwrap();
        let chosen: f32 = logps.iter().step_by(2).sum();
        let mean = -f64::from(chosen) / 12.0;
        let loss = |sft_weight: f64, whole: bool| -> f64 {
            let config = DpoConfig::new().with_sft_weight(sft_weight);
            let model = DpoModel::new(gemma.clone(), &config);
            let parts = if whole {
                vec![(batch.clone(), 1.0)]
            } else {
                batch.clone().parts(2)
            };
            parts
                .into_iter()
                .map(|(part, share)| InferenceStep::step(&model, part).values[0].1 * share)
                .sum()
        };
        for whole in [true, false] {
            let added = loss(2.0, whole) - loss(0.0, whole);
            assert!((added - 2.0 * mean).abs() < 1e-4, "{added}, {mean}");
        }
    }

    #[test]
    fn gradients_layer_by_layer_are_those_of_the_whole_pass() {
        for model in models() {
            check_gradients_by_layer(model);
        }
    }

    fn check_gradients_by_layer(mut gemma: Decoder) {
        let device = Device::flex();
        gemma.freeze_weights();
        gemma.add_lora(&LoraConfig::new(3, 6.0), &device);
        for (_, _, linear) in gemma.projections_mut() {
            if let Some(lora) = linear.lora_mut() {
                let random = |shape| Tensor::random(shape, Distribution::Normal(0.0, 0.3), &device);
                let b = random(lora.lora_b.dims());
                lora.lora_b = lora.lora_b.clone().map(|_| b.autodiff().require_grad());
            }
        }
        let batch = DpoExample::collate(&[
            &example(&[pair(&[10, 11, 1], &[12, 1])]),
            &example(&[pair(&[13, 14, 15, 16, 1], &[1]), pair(&[17, 1], &[18, 1])]),
        ]);
        let step = |gradient_checkpointing| {
            let model = DpoModel::new(gemma.clone(), &DpoConfig::new())
                .with_gradient_checkpointing(gradient_checkpointing);
            TrainStep::step(&model, vec![batch.clone()])
        };
        let (whole, by_layer) = (step(false), step(true));
        assert_eq!(whole.item.values.len(), by_layer.item.values.len());
        for (whole, by_layer) in whole.item.values.iter().zip(&by_layer.item.values) {
            assert!(
                (whole.1 - by_layer.1).abs() < 1e-5,
                "{whole:?} {by_layer:?}"
            );
        }
        let mut n_factors = 0;
        for (layer_idx, projection, linear) in gemma.projections() {
            let lora = linear.lora().expect("every projection has factors");
            for factor in [&lora.lora_a, &lora.lora_b] {
                let gradient = |grads: &GradientsParams| {
                    let gradient = grads.get::<2>(factor.id);
                    let place = (layer_idx, projection);
                    gradient.unwrap_or_else(|| panic!("{place:?}")).into_data()
                };
                let tolerance = Tolerance::<f32>::absolute(1e-6).set_relative(1e-4);
                gradient(&by_layer.grads).assert_approx_eq(&gradient(&whole.grads), tolerance);
                n_factors += 1;
            }
        }
        assert_eq!(n_factors, 2 * gemma.projections().count());
    }
}
