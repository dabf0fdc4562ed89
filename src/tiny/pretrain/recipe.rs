//! How the embedded models are made: sizes, optimizer, learning rates, and loaders that make up their examples.

use std::sync::Arc;

use burn::config::Config;
use burn::optim::ModuleOptimizer;
use burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::train::{AdamW, EpochLoader};
use crate::{Error, Result, parallel};

/// How the embedded models are made.
#[derive(Config, Debug)]
pub struct Pretrain {
    /// Everything random comes from it.
    #[config(default = 1)]
    pub seed: u64,
    /// Prompts, with a few questions each, from which Gemma learns to answer.
    #[config(default = 96_000)]
    pub language_examples: usize,
    /// Number of token ids of the Gemma.
    #[config(default = 8192)]
    pub vocab_size: usize,
}

/// Counts up when what is learnt, or how, changes, so that nobody goes on with what an older program began.
pub const RECIPE_VERSION: u32 = 8;
/// Examples between two checkpoints, at most.
pub(super) const EPOCH: usize = 4000;
/// Examples that are held out to watch the training.
pub(super) const HELD_OUT: usize = 500;
/// The stream of random numbers from which held-out examples come; those of training count up from the first epoch's.
pub(super) const HELD_OUT_STREAM: u64 = 1 << 40;

/// A part of a judge's training.
///
/// First all weights learn but the table of word embeddings, which is rounded to the bits that it is stored in and shared by all
/// judges. Then the matrices are rounded to the bits that they are stored in, all at once or some layers at a time, and the other
/// weights learn on to make up for that. In the end these are norms, biases and the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    /// What its progress and its folder are called.
    pub(super) name: &'a str,
    /// Runs over the examples that its loader gives at a time: all of them, or a part.
    pub(super) epochs: usize,
    /// At its highest.
    pub(super) learning_rate: f64,
}

/// AdamW as it trains small models from nothing.
pub(super) fn optimizer() -> ModuleOptimizer {
    AdamW::new().with_beta_2(0.98).into()
}

/// Linear warm-up, then half a cosine.
pub(super) fn schedule(peak: f64, steps: usize) -> Result<ModuleLrScheduler> {
    let warmup = (steps / 20).clamp(1, 200);
    let parts = vec![
        LinearLrSchedulerConfig::new(peak / 100.0, peak, warmup).into(),
        CosineAnnealingLrSchedulerConfig::new(peak, steps.saturating_sub(warmup).max(1))
            .with_min_lr(peak / 50.0)
            .into(),
    ];
    SequentialLrSchedulerConfig::new(parts, vec![warmup])
        .init()
        .map_err(Error::Training)
}

/// Linear warm-up, then linearly down to a fiftieth: how a pretrained model is trained further.
pub(super) fn gentle_schedule(peak: f64, steps: usize) -> Result<ModuleLrScheduler> {
    let warmup = (steps * 6 / 100).max(1);
    let rest = steps.saturating_sub(warmup).max(1);
    let parts = vec![
        LinearLrSchedulerConfig::new(peak / 100.0, peak, warmup).into(),
        LinearLrSchedulerConfig::new(peak, peak / 50.0, rest).into(),
    ];
    SequentialLrSchedulerConfig::new(parts, vec![warmup])
        .init()
        .map_err(Error::Training)
}

/// The random numbers of one example, which depend on the seed and the example's number alone.
pub(super) fn example_rng(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// A number from the normal distribution around zero.
pub(super) fn normal(std: f64, rng: &mut ChaCha8Rng) -> f64 {
    let (radius, turn): (f64, f64) = (rng.random(), rng.random());
    std * (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

/// Examples of an epoch, each from random numbers of its own.
pub(super) fn generate<I: Send>(
    seed: u64,
    first: u64,
    n_examples: usize,
    make: &(impl Fn(&mut ChaCha8Rng) -> Result<I> + Sync),
) -> Result<Vec<I>> {
    parallel::map((0..n_examples as u64).collect(), |number| {
        make(&mut example_rng(seed, first + number))
    })
    .into_iter()
    .collect()
}

/// A loader that makes each epoch's examples when it begins.
pub(super) fn loader<I, B>(
    seed: u64,
    n_examples: usize,
    batch_size: usize,
    make: impl Fn(&mut ChaCha8Rng) -> Result<I> + Send + Sync + 'static,
    length: fn(&I) -> usize,
    collate: fn(&[&I]) -> B,
) -> EpochLoader<I, B>
where
    I: Clone + Send + Sync + 'static,
{
    let source = move |epoch: usize| {
        let examples = generate(seed, (epoch * EPOCH) as u64, n_examples, &make);
        Arc::new(examples.expect("a vocabulary with byte fallback encodes every text"))
    };
    EpochLoader::generated(Arc::new(source), n_examples, batch_size, length, collate).shuffled(seed)
}
