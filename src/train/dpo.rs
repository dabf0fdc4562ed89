//! Direct preference optimization (Rafailov et al., arXiv 2305.18290) of LoRA factors.

use burn::config::Config;
use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use super::shards::step_in_parts;
use super::{Scalars, clip_global_norm};
use crate::nn::{Gemma, GemmaInput};
use crate::parallel;

/// A prompt with a better and a worse reply, and what the reference model thinks of them.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoPair {
    /// The prompt's tokens.
    pub prompt: Vec<i32>,
    /// The better reply's tokens, its end included.
    pub chosen: Vec<i32>,
    /// The worse reply's tokens, its end included.
    pub rejected: Vec<i32>,
    /// The reference model's summed log-probabilities of the two.
    pub reference: [f64; 2],
}

/// Pairs, each packed as prompt, chosen, rejected, and padded on the right to one length.
#[derive(Clone, Debug)]
pub struct DpoBatch {
    ids: Vec<Vec<i32>>,
    segments: Vec<Vec<i32>>,
    replies: Vec<[std::ops::Range<usize>; 2]>,
    reference: Vec<[f64; 2]>,
}

impl DpoPair {
    /// The number of tokens, by which batches are sorted.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.chosen.len() + self.rejected.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings pairs into one batch.
    pub fn collate(pairs: &[&Self]) -> DpoBatch {
        let seq = pairs.iter().map(|pair| pair.len()).max().unwrap_or(0);
        let padded = |mut row: Vec<i32>| {
            row.resize(seq, 0);
            row
        };
        let ids = |pair: &&Self| padded([&pair.prompt[..], &pair.chosen, &pair.rejected].concat());
        let segments = |pair: &&Self| {
            let parts = [(1, &pair.prompt), (2, &pair.chosen), (3, &pair.rejected)];
            padded(
                parts
                    .into_iter()
                    .flat_map(|(segment, part)| vec![segment; part.len()])
                    .collect(),
            )
        };
        let replies = |pair: &&Self| {
            let (start, middle) = (pair.prompt.len(), pair.prompt.len() + pair.chosen.len());
            [start..middle, middle..pair.len()]
        };
        DpoBatch {
            ids: pairs.iter().map(ids).collect(),
            segments: pairs.iter().map(segments).collect(),
            replies: pairs.iter().map(replies).collect(),
            reference: pairs.iter().map(|pair| pair.reference).collect(),
        }
    }
}

impl DpoBatch {
    /// One part for each core, each with its share of the pairs.
    fn parts(self, device: &Device) -> Vec<(Self, f64)> {
        let total = self.ids.len();
        let size = total.div_ceil(parallel::workers(device)).max(1);
        (0..total)
            .step_by(size)
            .map(|start| {
                let range = start..(start + size).min(total);
                let part = Self {
                    ids: self.ids[range.clone()].to_vec(),
                    segments: self.segments[range.clone()].to_vec(),
                    replies: self.replies[range.clone()].to_vec(),
                    reference: self.reference[range.clone()].to_vec(),
                };
                (part, range.len() as f64 / total as f64)
            })
            .collect()
    }
}

/// The log-probabilities of targets under rows of logits, in f32.
///
/// # Shapes
///
/// - logits: `[rows, vocab_size]`
/// - targets and output: `[rows]`
pub(super) fn token_logps(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let logits = logits.cast(DType::F32);
    let [rows, _] = logits.dims();
    let chosen = logits.clone().gather(1, targets.reshape([rows, 1]));
    let largest = logits.clone().detach().max_dim(1);
    let log_sum = (logits - largest.clone()).exp().sum_dim(1).log() + largest;
    (chosen - log_sum).reshape([rows])
}

/// The summed log-probabilities of both replies of each pair: one pass over prompt, chosen and rejected together, and
/// logits only where a reply's token is predicted.
///
/// # Shapes
///
/// - output: `[batch, 2]`
pub fn reply_logps(model: &Gemma, batch: &DpoBatch) -> Tensor<2> {
    let device = model.device();
    let (batch_size, seq) = (batch.ids.len(), batch.ids.first().map_or(0, Vec::len));
    let (mut rows, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    for (pair_idx, replies) in batch.replies.iter().enumerate() {
        let last_of_prompt = replies[0].start - 1;
        for (reply_idx, reply) in replies.iter().enumerate() {
            for position in reply.clone() {
                // The first token of either reply is predicted by the prompt's last.
                let before = if position == reply.start {
                    last_of_prompt
                } else {
                    position - 1
                };
                rows.push((pair_idx * seq + before) as i32);
                targets.push(batch.ids[pair_idx][position]);
                owners.push((2 * pair_idx + reply_idx) as i32);
            }
        }
    }
    let n_targets = targets.len();
    let ids = |values| Tensor::<1, Int>::from_data(TensorData::new(values, [n_targets]), &device);
    let hidden = model.hidden_states(GemmaInput::new(&batch.ids, &batch.segments, &device), None);
    let hidden_size = hidden.dims()[2];
    let hidden = hidden
        .reshape([batch_size * seq, hidden_size])
        .select(0, ids(rows));
    let logps = token_logps(model.logits(hidden), ids(targets)); // [n_targets]
    // Which reply each token belongs to, as a matrix of zeros and ones, sums them in one product.
    let owners = ids(owners)
        .reshape([1, n_targets])
        .expand([2 * batch_size, n_targets]);
    let replies =
        Tensor::<1, Int>::arange(0..2 * batch_size as i64, &device).reshape([2 * batch_size, 1]);
    let belongs = owners
        .equal(replies.expand([2 * batch_size, n_targets]))
        .float()
        .cast(DType::F32);
    belongs
        .matmul(logps.reshape([n_targets, 1]))
        .reshape([batch_size, 2])
}

/// DPO's settings.
#[derive(Config, Debug)]
pub struct DpoConfig {
    /// How strongly the policy is held to the reference.
    #[config(default = 0.1)]
    pub beta: f64,
    /// Largest norm of all gradients together.
    #[config(default = 1.0)]
    pub max_grad_norm: f64,
    /// How many batches make one optimizer step.
    #[config(default = 1)]
    pub accumulate: usize,
}

/// The sigmoid loss, as `DPOTrainer` has it.
#[derive(Clone, Copy, Debug)]
pub struct DpoLoss {
    /// How strongly the policy is held to the reference.
    pub beta: f64,
}

/// Loss and rewards of a batch.
#[derive(Clone, Debug)]
pub struct DpoStep {
    /// Mean loss, `[1]`.
    pub loss: Tensor<1>,
    /// β times how much likelier each reply became, `[batch, 2]`.
    pub rewards: Tensor<2>,
}

impl DpoLoss {
    /// `−log σ(β·((π_c − π_r) − (ref_c − ref_r)))`.
    ///
    /// # Shapes
    ///
    /// - policy, reference: `[batch, 2]`, chosen first
    pub fn forward(&self, policy: Tensor<2>, reference: Tensor<2>) -> DpoStep {
        let rewards = (policy - reference) * self.beta;
        let margins = rewards.clone().narrow(1, 0, 1) - rewards.clone().narrow(1, 1, 1);
        DpoStep {
            loss: activation::log_sigmoid(margins).mean().neg(),
            rewards: rewards.without_autodiff(),
        }
    }
}

/// A Gemma with frozen weights whose LoRA factors are trained.
#[derive(Module, Debug)]
pub struct DpoModel {
    /// The model.
    pub policy: Gemma,
    beta: f64,
    max_grad_norm: f64,
    accumulate: usize,
}

impl DpoModel {
    /// A model with LoRA factors to be trained.
    pub fn new(policy: Gemma, config: &DpoConfig) -> Self {
        Self {
            policy,
            beta: config.beta,
            max_grad_norm: config.max_grad_norm,
            accumulate: config.accumulate,
        }
    }

    fn forward(&self, batch: DpoBatch) -> (Tensor<1>, Scalars) {
        let device = self.policy.device();
        let examples = batch.ids.len();
        let reference: Vec<f32> = batch
            .reference
            .iter()
            .flatten()
            .map(|&logp| logp as f32)
            .collect();
        let reference = Tensor::<2>::from_data(TensorData::new(reference, [examples, 2]), &device);
        let policy = reply_logps(&self.policy, &batch);
        let logps = policy.clone().without_autodiff();
        let DpoStep { loss, rewards } = DpoLoss { beta: self.beta }.forward(policy, reference);
        let mean = |values: &Tensor<2>, column| {
            values
                .clone()
                .narrow(1, column, 1)
                .mean()
                .into_scalar::<f64>()
        };
        let margins = rewards.clone().narrow(1, 0, 1) - rewards.clone().narrow(1, 1, 1);
        let values = vec![
            ("loss", loss.clone().into_scalar::<f64>()),
            ("rewards/chosen", mean(&rewards, 0)),
            ("rewards/rejected", mean(&rewards, 1)),
            ("rewards/margins", mean(&margins, 0)),
            (
                "rewards/accuracies",
                margins
                    .greater_elem(0.0)
                    .float()
                    .mean()
                    .into_scalar::<f64>(),
            ),
            ("logps/chosen", mean(&logps, 0)),
            ("logps/rejected", mean(&logps, 1)),
        ];
        (loss, Scalars { values, examples })
    }

    /// The names of the numbers that a step gives, and whether more is better.
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
    type Input = DpoBatch;
    type Output = Scalars;

    fn step(&self, batch: DpoBatch) -> TrainOutput<Scalars> {
        let device = self.policy.device();
        let (grads, item) = step_in_parts(self, batch.parts(&device), &device, |model, part| {
            let (loss, scalars) = model.forward(part);
            // The learner sums the gradients of the batches that make one step.
            (loss / self.accumulate as f64, scalars)
        });
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        let (grads, _) = clip_global_norm(&self, grads, self.max_grad_norm);
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
