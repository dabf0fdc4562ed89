//! The training of an adapter by DPO: of a character in a run, or of any pairs by `apc dpo`.

use std::path::Path;
use std::time::Instant;

use burn::config::Config;
use burn::module::Module;
use burn::optim::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::tensor::{DType, Device};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::files::{self, AdapterConfig, Checkpoint, Precision};
use crate::kernels;
use crate::nn::{Decoder, LoraConfig};
use crate::parallel::{Devices, Replicas};
use crate::persona::{PreferencePair, encode_reply};
use crate::pipeline::record::open_steps;
use crate::progress::Job;
use crate::text::Engine;
use crate::train::{
    AdamW, DpoBatch, DpoConfig, DpoExample, DpoModel, DpoPair, EpochLoader, Fit, epochs_done, fit,
    reply_logps,
};
use crate::{Error, Result, memory};

/// What a DPO run leaves to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpoSummary {
    /// Pairs trained on.
    pub pairs: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Share of the pairs whose chosen reply has the higher reward after training.
    #[serde(rename = "rewards/accuracies")]
    pub accuracies: f64,
    /// Mean difference of the rewards after training.
    #[serde(rename = "rewards/margins")]
    pub margins: f64,
}

/// What a DPO run has made.
#[derive(Debug)]
pub struct DpoTrained {
    /// The model with its trained factors.
    pub policy: Replicas<Decoder>,
    /// What it was trained on, with the reference's log-probabilities.
    pub examples: Vec<DpoExample>,
    /// Optimizer steps.
    pub steps: usize,
    /// How long the reference took.
    pub reference_seconds: f64,
    /// Pairs a second of the epochs that this run has trained, after that.
    pub pairs_per_second: f64,
}

/// Settings of an adapter's training.
#[derive(Config, Debug)]
pub struct DpoTraining {
    /// The factors' rank, scaling and targets.
    pub lora: LoraConfig,
    /// What the factors and the optimizer's moments of them are kept in.
    #[config(default = "DType::F32")]
    pub lora_dtype: DType,
    /// The loss.
    #[config(default = "DpoConfig::new()")]
    pub dpo: DpoConfig,
    /// Passes over the pairs.
    #[config(default = 1)]
    pub epochs: usize,
    /// Prompts in a batch, each with all of its pairs.
    #[config(default = 1)]
    pub batch_size: usize,
    /// The first learning rate; it falls to zero in a line.
    #[config(default = 2e-4)]
    pub learning_rate: f64,
    /// Decides the fresh factors and the order of the pairs.
    #[config(default = 42)]
    pub seed: u64,
    /// Whether the pairs come in another order in each epoch.
    #[config(default = true)]
    pub shuffle: bool,
}

/// What an adapter was trained on, beside it as `apc.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeWith {
    /// The version of the program.
    pub version: String,
    /// The base model: `embedded`, a name on the hub with its revision, or a folder's path from the adapter's own.
    pub base: String,
    /// How the base's weights were kept.
    #[serde(flatten)]
    pub precision: Precision,
}

impl MadeWith {
    /// The file's name in the adapter's folder.
    pub const FILE: &'static str = "apc.json";

    /// Reads it from an adapter's folder; other programs' adapters have none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn of(adapter: &Path) -> Result<Option<Self>> {
        let path = adapter.join(Self::FILE);
        path.is_file().then(|| files::read_json(&path)).transpose()
    }
}

/// The training of an adapter, with its files.
#[derive(Debug)]
pub struct DpoRun<'a> {
    /// How it is trained.
    pub training: &'a DpoTraining,
    /// The adapter to go on from, in place of fresh factors; it is the reference, too.
    pub adapter: Option<&'a Path>,
    /// The base; the adapter tells its name on the hub, or a folder's path from its own.
    pub base: &'a Checkpoint,
    /// How the base's weights are kept, which is told beside the adapter.
    pub precision: Precision,
    /// The adapter's folder.
    pub output: &'a Path,
    /// Where checkpoints are kept.
    pub work: &'a Path,
    /// Whether activations are computed anew in the backward pass even where there is memory for them.
    pub gradient_checkpointing: bool,
    /// Whether every optimizer step is told and goes to `steps.jsonl` in the adapter's folder.
    pub record_steps: bool,
}

/// A model with factors, and what their files say of them.
struct Policy {
    model: Decoder,
    config: AdapterConfig,
}

impl DpoRun<'_> {
    /// Trains and writes the adapter.
    pub fn run(
        &self,
        bases: &Replicas<Decoder>,
        mut examples: Vec<DpoExample>,
        job: &Job,
    ) -> Result<DpoTrained> {
        let (training, devices) = (self.training, bases.devices());
        devices.first().seed(training.seed);
        let Policy { model, config } = self.policy(bases.first(), devices.first())?;
        let with_lora_of = |policy: &Decoder| bases.each(|base| base.with_lora_of(policy));
        let reference = match self.adapter {
            Some(_) => with_lora_of(&model.valid()),
            None => bases.clone(),
        };
        let start = Instant::now();
        self.keep_reference(&reference, &mut examples, job)?;
        let reference_seconds = start.elapsed().as_secs_f64();

        let train = self.loader(&examples, devices);
        let steps_per_epoch = train.steps_per_epoch(training.dpo.accumulate);
        let done = epochs_done(self.work, training.epochs)?;
        let record = || open_steps(self.output, self.work, done * steps_per_epoch, job);
        let recorder = self.record_steps.then(record).transpose()?;
        let gradient_checkpointing = self.recomputes(&model, &examples, job);
        let start = Instant::now();
        let trained = fit(
            DpoModel::new(model, &training.dpo)
                .with_bases(bases)
                .with_gradient_checkpointing(gradient_checkpointing)
                .with_recorder(recorder.clone()),
            AdamW::new().with_weight_decay(0.0).into(),
            self.schedule(training.epochs * steps_per_epoch)?,
            &train,
            &EpochLoader::new(Vec::new(), 1, DpoExample::len, DpoExample::collate),
            &Fit {
                label: "dpo",
                folder: self.work,
                epochs: training.epochs,
                accumulate: training.dpo.accumulate / self.together(devices),
                metrics: &DpoModel::METRICS,
            },
            job,
        );
        // A record that could not be written has stopped the run: that is the error to tell.
        recorder.map_or(Ok(()), |recorder| recorder.check())?;
        let policy = trained?.policy;
        let train_seconds = start.elapsed().as_secs_f64();
        let n_pairs: usize = examples.iter().map(|example| example.pairs.len()).sum();
        self.save(&policy, &config)?;
        Ok(DpoTrained {
            policy: with_lora_of(&policy),
            examples,
            steps: training.epochs * steps_per_epoch,
            reference_seconds,
            pairs_per_second: ((training.epochs - done) * n_pairs) as f64 / train_seconds,
        })
    }

    /// Writes the adapter, and what it was made with.
    fn save(&self, policy: &Decoder, config: &AdapterConfig) -> Result<()> {
        files::save_adapter(policy, config, self.output)?;
        let made_with = MadeWith {
            version: env!("CARGO_PKG_VERSION").to_string(),
            base: self.base.reference(self.output),
            precision: self.precision,
        };
        files::write_json(&self.output.join(MadeWith::FILE), &made_with)
    }

    /// The base with the factors to be trained: fresh ones, or those of the adapter.
    fn policy(&self, base: &Decoder, device: &Device) -> Result<Policy> {
        let lora = &self.training.lora;
        let name = self.base.reference(self.output);
        let mut model = base.clone();
        let config = match self.adapter {
            Some(adapter) => files::load_adapter(&mut model, adapter, device)?.with_base(&name),
            None => {
                model.add_lora(lora, device);
                AdapterConfig::new(lora, &name).for_checkpoint(self.base)?
            }
        };
        for (_, _, linear) in model.projections_mut() {
            if let Some(lora) = linear.lora_mut() {
                lora.cast(self.training.lora_dtype);
            }
        }
        Ok(Policy { model, config })
    }

    /// Writes the reference's log-probabilities into the pairs.
    fn keep_reference(
        &self,
        reference: &Replicas<Decoder>,
        examples: &mut [DpoExample],
        job: &Job,
    ) -> Result<()> {
        let logps = self.logps(reference, examples, "reference", job)?;
        if logps.iter().flatten().any(|logp| !logp.is_finite()) {
            return Err(Error::Model(
                "the reference's log-probabilities are not finite: the weights of the model or of the adapter are damaged"
                    .to_string(),
            ));
        }
        let pairs = examples.iter_mut().flat_map(|example| &mut example.pairs);
        for (pair, logps) in pairs.zip(logps) {
            pair.reference = logps;
        }
        Ok(())
    }

    /// How many batches go through a step at once: of several devices each takes part in every optimizer step, however
    /// small the batches are.
    fn together(&self, devices: &Devices) -> usize {
        if devices.count() > 1 {
            self.training.dpo.accumulate
        } else {
            1
        }
    }

    fn loader(
        &self,
        examples: &[DpoExample],
        devices: &Devices,
    ) -> EpochLoader<DpoExample, Vec<DpoBatch>> {
        let training = self.training;
        let train = EpochLoader::new(
            examples.to_vec(),
            training.batch_size,
            DpoExample::len,
            |examples| vec![DpoExample::collate(examples)],
        )
        .together(self.together(devices), Vec::extend);
        if training.shuffle {
            train.shuffled(training.seed)
        } else {
            train
        }
    }

    /// The learning rate, which falls to zero in a line.
    fn schedule(&self, steps: usize) -> Result<ModuleLrScheduler> {
        let schedule = LinearLrSchedulerConfig::new(self.training.learning_rate, 0.0, steps);
        schedule.init().map_err(Error::Training)
    }

    /// What the trained model makes of the pairs: one more pass over all of them.
    pub fn summarize(&self, trained: &DpoTrained, job: &Job) -> Result<DpoSummary> {
        let margins: Vec<f64> = self
            .logps(&trained.policy, &trained.examples, "rewards", job)?
            .into_iter()
            .zip(trained.examples.iter().flat_map(|example| &example.pairs))
            .map(|(policy, pair)| {
                self.training.dpo.beta
                    * ((policy[0] - policy[1]) - (pair.reference[0] - pair.reference[1]))
            })
            .collect();
        let n_pairs = margins.len() as f64;
        Ok(DpoSummary {
            pairs: margins.len(),
            steps: trained.steps,
            accuracies: margins.iter().filter(|margin| **margin > 0.0).count() as f64 / n_pairs,
            margins: margins.iter().sum::<f64>() / n_pairs,
        })
    }

    /// Whether activations are computed anew: if that is asked for, if the base is in four bits, so that one layer of it is
    /// dense at a time, or if on a CPU they would take more than half of the memory that is free.
    fn recomputes(&self, policy: &Decoder, examples: &[DpoExample], job: &Job) -> bool {
        if self.gradient_checkpointing || policy.is_quantized() {
            return true;
        }
        let longest = examples.iter().map(DpoExample::len).max().unwrap_or(0);
        let needed = policy.activation_bytes(self.training.batch_size, longest) as u64;
        let is_short = kernels::is_cpu(&policy.device()) && needed > memory::available() / 2;
        if is_short {
            job.progress.note(&format!(
                "dpo: a step's activations take about {}, so they are computed anew in the backward pass",
                ByteSize(needed)
            ));
        }
        is_short
    }

    /// The log-probabilities of both replies of each pair; examples of about one length go together. `label` names the
    /// progress bar.
    fn logps(
        &self,
        models: &Replicas<Decoder>,
        examples: &[DpoExample],
        label: &str,
        job: &Job,
    ) -> Result<Vec<[f64; 2]>> {
        let task = job.progress.task(label, examples.len(), "prompts");
        let workers = models.devices().workers();
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&example_idx| examples[example_idx].len());
        let mut logps = vec![Vec::new(); examples.len()];
        for group in order.chunks(self.training.batch_size * workers) {
            job.check()?;
            let parts: Vec<&[usize]> = group.chunks(self.training.batch_size).collect();
            let results = models.map(parts, |model, part| {
                let batch: Vec<&DpoExample> = part.iter().map(|&idx| &examples[idx]).collect();
                let values = reply_logps(model, &DpoExample::collate(&batch)).into_data();
                (part, values)
            });
            task.advance(group.len());
            for (part, values) in results {
                let values = values.as_slice::<f32>();
                let mut pairs = values.expect("log-probabilities are f32").chunks_exact(2);
                for &example_idx in part {
                    let own = pairs.by_ref().take(examples[example_idx].pairs.len());
                    logps[example_idx] = own
                        .map(|pair| [f64::from(pair[0]), f64::from(pair[1])])
                        .collect();
                }
            }
        }
        Ok(logps.concat())
    }
}

/// Brings pairs into tokens, those that follow each other with one prompt behind it together.
pub(super) fn encode(engine: &Engine, pairs: &[PreferencePair]) -> Result<Vec<DpoExample>> {
    let (tokenizer, end_id) = (engine.tokenizer(), engine.format().end_id());
    pairs
        .chunk_by(|a, b| a.prompt == b.prompt)
        .map(|pairs| {
            let encode_pair = |pair: &PreferencePair| {
                Ok(DpoPair {
                    chosen: encode_reply(tokenizer, end_id, &pair.chosen)?,
                    rejected: encode_reply(tokenizer, end_id, &pair.rejected)?,
                    reference: [0.0; 2],
                })
            };
            Ok(DpoExample {
                prompt: tokenizer.encode(&pairs[0].prompt)?,
                pairs: pairs.iter().map(encode_pair).collect::<Result<_>>()?,
            })
        })
        .collect()
}
