//! Training through burn's learner: language models from scratch, classifiers, and LoRA adapters by DPO.
//!
//! The training steps live here and not in `nn`: a model does not know that it is trained. Batches are plain ids, so only
//! a step touches a device. The order of the examples depends on the seed and the epoch alone, so a run that resumes from
//! a checkpoint sees the same batches as one that was never interrupted. No character, judge or stage is known here.

mod adamw;
mod classifier;
mod clip;
mod dpo;
mod dropout;
mod fit;
mod language;
mod loader;
mod log;
mod metrics;
mod pairs;
mod preference;
mod ranking;
mod recompute;
mod renderer;
mod shards;
mod steps;

use burn::tensor::{DType, Int, Tensor};

pub use adamw::AdamW;
pub use classifier::{ClassifierBatch, ClassifierExample, ClassifierModel};
pub use clip::clip_global_norm;
pub use dpo::{DpoConfig, DpoLoss, DpoModel, DpoStep, LossType};
pub use dropout::StepDropout;
pub use fit::{Fit, epochs_done, fit};
pub use language::{LanguageBatch, LanguageExample, LanguageModel};
pub use loader::EpochLoader;
pub use metrics::{Scalar, Scalars};
pub use pairs::{DpoBatch, DpoExample, DpoPair, reply_logps};
pub use preference::{Preference, PreferenceEncoder, Turns};
pub use ranking::{RankingBatch, RankingExample, RankingModel};
pub use steps::StepRecorder;

/// The log-probabilities of targets under rows of logits, in f32.
///
/// # Shapes
///
/// - logits: `[rows, vocab_size]`
/// - targets and output: `[rows]`
fn token_logps(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let logits = logits.cast(DType::F32);
    let [rows, _] = logits.dims();
    let chosen = logits.clone().gather(1, targets.reshape([rows, 1]));
    let largest = logits.clone().detach().max_dim(1);
    let log_sum = (logits - largest.clone()).exp().sum_dim(1).log() + largest;
    (chosen - log_sum).reshape([rows])
}
