//! One training run through burn's learner, which resumes from its last checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::data::dataloader::DataLoader;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::tensor::{DType, Tensor};
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::{
    InferenceStep, Interrupter, Learner, LearnerModel, SupervisedTraining, TrainStep,
};

use crate::error::guarded;
use crate::progress::Job;
use crate::train::loader::EpochLoader;
use crate::train::log::{StepLog, diverged};
use crate::train::metrics::{Scalar, Scalars, numbers};
use crate::train::renderer::Renderer;
use crate::{Error, Result, files};

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Fit<'a> {
    /// The label of the progress bar.
    pub label: &'a str,
    /// Where checkpoints and burn's metric files go.
    pub folder: &'a Path,
    /// The number of epochs.
    pub epochs: usize,
    /// How many batches make one optimizer step, which gets the sum of their gradients; [`DpoModel`](crate::train::DpoModel) takes
    /// the mean of it.
    pub accumulate: usize,
    /// The metrics to log: the name of a step's number, and whether higher is better.
    pub metrics: &'a [(&'static str, bool)],
}

/// Trains a model from the last complete checkpoint in the folder, or from the start.
///
/// Checkpoints hold trained weights, the optimizer and the schedule, and are kept for the last two epochs. The numbers
/// of every step go to `metrics.jsonl` in the folder.
pub fn fit<M, I, V>(
    model: M,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    train: &EpochLoader<I, <M as TrainStep>::Input>,
    valid: &EpochLoader<V, <M as InferenceStep>::Input>,
    config: &Fit<'_>,
    job: &Job,
) -> Result<M>
where
    M: LearnerModel + TrainStep<Output = Scalars> + InferenceStep<Output = Scalars>,
    I: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    <M as TrainStep>::Input: 'static,
    <M as InferenceStep>::Input: 'static,
{
    files::create_dir(config.folder)?;
    let done = epochs_done(config.folder, config.epochs)?;
    let interrupter = Interrupter::new();
    let failure = Arc::default();
    let log = StepLog::open(
        &config.folder.join("metrics.jsonl"),
        done,
        &interrupter,
        &failure,
    )?;
    let validates = valid.num_items() > 0;
    let train: Arc<dyn DataLoader<_>> = Arc::new(train.begin(done + 1, job, &interrupter));
    let valid: Arc<dyn DataLoader<_>> = Arc::new(valid.begin(done + 1, job, &interrupter));

    let mut training = SupervisedTraining::new(config.folder, train, valid)
        .with_application_logger(None)
        .with_interrupter(interrupter)
        .with_metric_logger(log)
        .with_checkpointing_strategy(KeepLastNCheckpoints::new(2))
        .with_default_checkpointers()
        .renderer(Box::new(Renderer::new(job, config.label)))
        .num_epochs(config.epochs);
    for &(name, higher_is_better) in config.metrics {
        training = training.metric_train_numeric(Scalar::new(name, higher_is_better));
        if validates {
            training = training.metric_valid_numeric(Scalar::new(name, higher_is_better));
        }
    }
    if config.accumulate > 1 {
        training = training.grads_accumulation(config.accumulate);
    }
    if done > 0 {
        training = training.checkpoint(done);
    }
    let learner = Learner::new(model, optimizer, schedule);
    // The learner panics at a checkpoint that it cannot read.
    let result = guarded(|| training.launch(learner))
        .map_err(|panic| as_error(&panic, config.folder, done))?;
    if let Some(error) = failure.lock().ok().and_then(|mut failure| failure.take()) {
        if matches!(error, Error::Training(_)) {
            // What the checkpoints hold has diverged, or is about to.
            files::remove_dir(&config.folder.join("checkpoint"))?;
        }
        return Err(error);
    }
    if let Some(error) = result.error {
        return Err(Error::Training(error.to_string()));
    }
    if result.interrupted.is_some() {
        return Err(Error::Interrupted);
    }
    if !is_finite(&result.model) {
        files::remove_dir(&config.folder.join("checkpoint"))?;
        return Err(diverged(
            "the last step has made weights that are not finite",
        ));
    }
    Ok(result.model)
}

/// What a panic of the learner becomes, which goes on after the epoch `done`.
fn as_error(panic: &str, folder: &Path, done: usize) -> Error {
    if done == 0 || !panic.contains("checkpoint") {
        return Error::Fault(panic.to_string());
    }
    let reason = format!(
        "the checkpoint of epoch {done} cannot be read ({panic}); remove this folder to begin again, or use `force`"
    );
    Error::invalid(folder.join("checkpoint"), reason)
}

/// Whether all trained weights are finite.
fn is_finite<M: Module>(model: &M) -> bool {
    struct Zeros(Vec<Tensor<1>>);
    impl ModuleVisitor for Zeros {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            // A sum of zeros, but for values that are not finite.
            let zeros = param.val().without_autodiff().cast(DType::F32) * 0.0;
            self.0.push(zeros.sum());
        }
    }
    let mut zeros = Zeros(Vec::new());
    model.visit(&mut zeros);
    numbers(zeros.0).iter().all(|zero| zero.is_finite())
}

/// Returns the epoch from which a run in the folder would resume: the last of those wanted with a complete checkpoint.
pub fn epochs_done(folder: &Path, epochs_wanted: usize) -> Result<usize> {
    let folder: PathBuf = folder.join("checkpoint");
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut epochs = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
        let name = entry.map_err(Error::io("read", &folder))?.file_name();
        let name = name.to_string_lossy();
        let epoch = name
            .strip_prefix("scheduler-")
            .and_then(|rest| rest.strip_suffix(".bpk")?.parse::<usize>().ok());
        epochs.extend(epoch);
    }
    epochs.retain(|epoch| {
        let mut parts = ["model", "optim"].iter();
        *epoch <= epochs_wanted
            && parts.all(|part| folder.join(format!("{part}-{epoch}.bpk")).is_file())
    });
    Ok(epochs.into_iter().max().unwrap_or(0))
}
