//! The fine-tuning of a classifier: of a judge in a run, or of any by `apc finetune`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::config::Config;
use burn::module::Module;
use burn::optim::lr_scheduler::constant::ConstantLr;
use burn::tensor::Device;
use burn::train::InferenceStep;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::files::{self, Checkpoint, ClassifierConfig};
use crate::nn::{SequenceClassifier, Weights};
use crate::parallel::{Devices, Replicas};
use crate::persona::JudgeFormat;
use crate::pipeline::record::{open_steps, seal_of};
use crate::progress::Job;
use crate::text::{ByteFallback, EncodedText, Tokenizer};
use crate::train::{
    AdamW, ClassifierBatch, ClassifierExample, ClassifierModel, EpochLoader, Fit, StepDropout,
    epochs_done, fit,
};
use crate::{Error, Result};

/// Settings of a classifier's fine-tuning: all weights, by AdamW at a constant rate.
#[derive(Config, Debug)]
pub struct FineTuneConfig {
    /// Passes over the texts.
    pub epochs: usize,
    /// Texts in a step.
    #[config(default = 8)]
    pub batch_size: usize,
    /// AdamW's.
    #[config(default = 1e-5)]
    pub learning_rate: f64,
    /// The share of the texts that is held out; the weights of the epoch that is best on them are kept.
    #[config(default = 0.2)]
    pub held_out: f64,
    /// Whether the texts come in another order in each epoch, and the held-out ones are drawn; else those at the end are.
    #[config(default = true)]
    pub shuffle: bool,
    /// Whether values are dropped as often as `config.json` says; the original drops none.
    #[config(default = false)]
    pub dropout: bool,
    /// Decides the order, a fresh head and what is dropped.
    #[config(default = 42)]
    pub seed: u64,
}

/// The fine-tuning of a classifier, with its files.
#[derive(Clone, Debug)]
pub struct FineTune<'a> {
    /// What the bar is called.
    pub label: &'a str,
    /// How it is trained.
    pub config: &'a FineTuneConfig,
    /// A classifier, or a base model that gets a fresh head.
    pub base: &'a Checkpoint,
    /// The classifier's folder.
    pub output: &'a Path,
    /// Where checkpoints are kept.
    pub work: &'a Path,
    /// The classes of a judge; else those of the base, or as many as the data has.
    pub classes: Option<Classes<'a>>,
    /// What becomes of unknown characters where the base has `spm.model` alone.
    pub byte_fallback: ByteFallback,
    /// Whether every optimizer step is told and goes to `steps.jsonl` in the output folder.
    pub record_steps: bool,
}

/// Returns texts with their classes, by the tokenizer and the most tokens that the classifier reads.
pub type EncodeTexts<'a> = dyn Fn(&Tokenizer, usize) -> Result<Vec<(EncodedText, usize)>> + 'a;

/// What the classes of a judge are called, and where they are among the logits of what is fine-tuned.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    /// Their names.
    pub names: &'a [&'a str],
    /// The logit of each; none if the base's classes are others, so that it gets a fresh head.
    pub logits: &'a [usize],
}

/// What a fine-tuning leaves to tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FineTuned {
    /// The share of held-out texts whose class came out right, after each epoch; empty if none were held out.
    pub accuracies: Vec<f64>,
    /// The epoch, from one, whose weights were kept.
    pub best_epoch: usize,
    /// How fast this run was, files not counted.
    #[serde(skip)]
    pub texts_per_second: f64,
}

/// Texts in tokens, and those among them that are held out.
struct Texts {
    train: Vec<ClassifierExample>,
    held_out: Vec<ClassifierExample>,
}

type Loader = EpochLoader<ClassifierExample, ClassifierBatch>;

impl FineTune<'_> {
    /// Trains epoch by epoch, tells the accuracy after each, and writes the best weights.
    ///
    /// - encode: returns the texts with their classes, by the tokenizer and the most tokens that the classifier reads
    pub fn run(&self, encode: &EncodeTexts<'_>, devices: &Devices, job: &Job) -> Result<FineTuned> {
        let device = devices.first();
        device.seed(self.config.seed);
        let config = files::read_classifier_config(self.base)?;
        let tokenizer = Tokenizer::load_with(self.base, self.byte_fallback)?
            .for_table(config.model.vocab_size())?;
        let texts = encode(&tokenizer, config.max_tokens())?;
        let n_classes = texts.iter().map(|(_, label)| label + 1).max().unwrap_or(0);
        let (mut model, config, order) = match self.classes {
            None => {
                let (model, config) = files::load_classifier_or_base(self.base, n_classes, device)?;
                let order = (0..n_classes).collect();
                (model, config, order)
            }
            Some(Classes { names, logits }) => self.load_named(names, logits, device)?,
        };
        model.unfreeze_weights();
        let Texts { train, held_out } = self.texts(texts, &order)?;
        let mut train = self.loader(train);
        if self.config.shuffle {
            train = train.shuffled(self.config.seed);
        }

        let epochs_done = epochs_done(self.work, self.config.epochs)?;
        let steps_done = epochs_done * train.steps_per_epoch(1);
        let record = || open_steps(self.output, self.work, steps_done, job);
        let recorder = self.record_steps.then(record).transpose()?;
        let dropout = self
            .config
            .dropout
            .then(|| Arc::new(StepDropout::new(self.config.seed, steps_done)));
        let model = ClassifierModel::new(model, config.pad_token_id)
            .with_devices(devices)
            .with_dropout(dropout)
            .with_recorder(recorder.clone());
        let mut done = self.done(epochs_done)?;
        // With texts held out, an epoch is a run of its own that goes on from the one before, so that its weights can be
        // looked at.
        let first = if held_out.is_empty() {
            self.config.epochs
        } else {
            done.accuracies.len() + 1
        };
        for epoch in first..=self.config.epochs {
            let trained = self.fit(&model, epoch, &train, !held_out.is_empty(), job);
            // A record that could not be written has stopped the run: that is the error to tell.
            recorder
                .as_ref()
                .map_or(Ok(()), |recorder| recorder.check())?;
            self.keep_best(trained?, epoch, &held_out, &mut done, devices, job)?;
        }
        tokenizer.save(self.output)?;
        self.base.copy_to(&["tokenizer_config.json"], self.output)?;
        let format = JudgeFormat::load(self.base)?;
        if format.similarity.is_some() {
            job.progress.note(&format!(
                "{} judges by similarity; what comes of it is a classifier with a new head",
                self.base.name()
            ));
            let format = JudgeFormat {
                similarity: None,
                ..format
            };
            format.save(self.output)?;
        } else {
            self.base.copy_to(&["judge.json"], self.output)?;
        }
        // The config goes last: a folder that has it is whole.
        files::write_classifier_config(self.output, &config)?;
        done.texts_per_second = train.rate();
        Ok(done)
    }

    /// Loads a classifier of named classes: as it is where it has them, else with a fresh head; returns also the logit of
    /// each class.
    fn load_named(
        &self,
        names: &[&str],
        logits: &[usize],
        device: &Device,
    ) -> Result<(SequenceClassifier, ClassifierConfig, Vec<usize>)> {
        let keeps_head = !logits.is_empty() && files::has_classifier_head(self.base)?;
        let (model, mut config) = if keeps_head {
            files::load_classifier_or_base(self.base, names.len(), device)?
        } else {
            files::load_classifier_body(self.base, names.len(), device)?
        };
        let order: Vec<usize> = match keeps_head {
            true => logits.to_vec(),
            false => (0..names.len()).collect(),
        };
        for (name, &logit) in names.iter().zip(&order) {
            config.labels[logit] = (*name).to_string();
        }
        Ok((model, config, order))
    }

    /// Takes texts in their order or a drawn one, and holds out those at the end.
    ///
    /// - order: the logit of each class
    fn texts(&self, texts: Vec<(EncodedText, usize)>, order: &[usize]) -> Result<Texts> {
        let example = |(text, label): (EncodedText, usize)| ClassifierExample {
            text,
            label: order[label],
        };
        let mut train: Vec<ClassifierExample> = texts.into_iter().map(example).collect();
        if self.config.shuffle {
            train.shuffle(&mut ChaCha8Rng::seed_from_u64(self.config.seed));
        }
        let n_train = train.len() - (train.len() as f64 * self.config.held_out).round() as usize;
        if n_train == 0 {
            return Err(Error::Usage(format!(
                "of {} texts none is left to train on; hold out fewer, or bring more",
                train.len()
            )));
        }
        let mut held_out = train.split_off(n_train);
        held_out.sort_by_key(ClassifierExample::len);
        Ok(Texts { train, held_out })
    }

    fn loader(&self, examples: Vec<ClassifierExample>) -> Loader {
        EpochLoader::new(
            examples,
            self.config.batch_size,
            ClassifierExample::len,
            ClassifierExample::collate,
        )
    }

    /// Where the accuracies of a run under way are.
    fn progress(&self) -> PathBuf {
        self.work.join("accuracies.json")
    }

    /// What an earlier run has done, if its checkpoint and its weights are still there.
    fn done(&self, epochs_done: usize) -> Result<FineTuned> {
        let progress = self.progress();
        if progress.is_file() && self.output.join("model.safetensors").is_file() {
            let told: FineTuned = files::read_json(&progress)?;
            if told.accuracies.len() <= epochs_done {
                return Ok(told);
            }
        }
        Ok(FineTuned::default())
    }

    fn label(&self, epoch: usize, holds_out: bool) -> String {
        if holds_out {
            format!("{}, epoch {epoch} of {}", self.label, self.config.epochs)
        } else {
            self.label.to_string()
        }
    }

    /// Trains up to the end of an epoch.
    fn fit(
        &self,
        model: &ClassifierModel,
        epoch: usize,
        train: &Loader,
        holds_out: bool,
        job: &Job,
    ) -> Result<ClassifierModel> {
        fit(
            model.clone(),
            AdamW::new().with_epsilon(1e-6).into(),
            ConstantLr::new(self.config.learning_rate).into(),
            train,
            &self.loader(Vec::new()),
            &Fit {
                label: &self.label(epoch, holds_out),
                folder: self.work,
                epochs: epoch,
                accumulate: 1,
                metrics: &[("loss", false), ("accuracy", true)],
            },
            job,
        )
    }

    /// Looks at an epoch's weights and writes them if none before were better.
    fn keep_best(
        &self,
        mut trained: ClassifierModel,
        epoch: usize,
        held_out: &[ClassifierExample],
        done: &mut FineTuned,
        devices: &Devices,
        job: &Job,
    ) -> Result<()> {
        let mut is_best = true;
        if !held_out.is_empty() {
            let accuracy = accuracy(&Replicas::new(trained.valid(), devices), held_out, job)?;
            is_best = done.accuracies.iter().all(|earlier| accuracy > *earlier);
            done.accuracies.push(accuracy);
            let label = self.label(epoch, true);
            job.progress
                .note(&format!("{label}, held out: accuracy {accuracy:.4}"));
        }
        if is_best {
            done.best_epoch = epoch;
            files::save_weights(&mut trained.classifier, self.output)?;
            // A run with other settings knows by it that they are not somebody else's.
            let weights = self.output.join("model.safetensors");
            files::Seal::write_of(&seal_of(&weights, self.work), &weights)?;
        }
        if !held_out.is_empty() {
            files::write_json(&self.progress(), done)?;
        }
        Ok(())
    }
}

/// The share of examples whose class comes out right.
fn accuracy(
    models: &Replicas<ClassifierModel>,
    examples: &[ClassifierExample],
    job: &Job,
) -> Result<f64> {
    const BATCH: usize = 32;
    let batches: Vec<Vec<&ClassifierExample>> = examples
        .chunks(BATCH)
        .map(|batch| batch.iter().collect())
        .collect();
    let mut right = 0.0;
    for group in batches.chunks(models.devices().workers()) {
        job.check()?;
        let results = models.map(group.to_vec(), |model, batch| {
            let scalars = InferenceStep::step(model, ClassifierExample::collate(&batch));
            scalars.get("accuracy").unwrap_or(0.0) * batch.len() as f64
        });
        right += results.iter().sum::<f64>();
    }
    Ok(right / examples.len() as f64)
}
