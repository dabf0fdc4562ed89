//! Training through burn's learner: language models from scratch, classifiers, and LoRA adapters by DPO.
//!
//! A model file never learns that it is trained: the steps live here. Batches are plain ids, so that nothing but a step
//! touches a device; the order of the examples depends on the seed and the epoch alone, so that a run which goes on from
//! a checkpoint sees what an undisturbed one would have seen.

mod classifier;
mod clip;
mod dpo;
mod dropout;
mod fit;
mod language;
mod loader;
mod log;
mod metrics;
mod preference;
mod renderer;
mod shards;
mod steps;

pub use classifier::{ClassifierBatch, ClassifierExample, ClassifierModel};
pub use clip::clip_global_norm;
pub use dpo::{
    DpoBatch, DpoConfig, DpoExample, DpoLoss, DpoModel, DpoPair, DpoStep, LossType, reply_logps,
};
pub use dropout::StepDropout;
pub use fit::{Fit, epochs_done, fit};
pub use language::{LanguageBatch, LanguageExample, LanguageModel};
pub use loader::EpochLoader;
pub use metrics::{Scalar, Scalars};
pub use preference::{Preference, PreferenceEncoder, Turns};
pub use steps::StepRecorder;
