//! `apc dpo`.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::hub;
use crate::cli::input;
use crate::cli::next::command;
use crate::cli::output::{Format, check_output, open_stage, print, print_json};
use crate::files::{Precision, folder_hash};
use crate::nn::{LoraConfig, Projection};
use crate::pipeline::{
    DpoRun, DpoTraining, LARGEST_COUNT, LARGEST_SCALE, Output, StageSpec, TrainConfig,
};
use crate::progress::Job;
use crate::text::{Engine, EngineConfig, Work};
use crate::train::{DpoConfig, DpoExample, LossType, Preference, PreferenceEncoder};
use crate::{Error, Result, files, memory};

/// The library's defaults, with the adapter of a run and, as each batch is one pair, eight batches in a step.
fn defaults() -> DpoTraining {
    DpoTraining::new(TrainConfig::new("").adapter.lora)
        .with_dpo(DpoConfig::new().with_accumulate(8))
}

/// The files that a training makes.
const MADE: [&str; 4] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "apc.json",
    "steps.jsonl",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Loss {
    /// DPO's own.
    Sigmoid,
    /// Squared distance per token, IPO.
    Ipo,
    /// A hinge, SLiC.
    Hinge,
}

impl From<Loss> for LossType {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Sigmoid => Self::Sigmoid,
            Loss::Ipo => Self::Ipo,
            Loss::Hinge => Self::Hinge,
        }
    }
}

impl From<LossType> for Loss {
    fn from(loss_type: LossType) -> Self {
        match loss_type {
            LossType::Sigmoid => Self::Sigmoid,
            LossType::Ipo => Self::Ipo,
            LossType::Hinge => Self::Hinge,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoraDtype {
    /// As PEFT keeps them.
    Float32,
    /// Half the memory; small steps get lost.
    Bfloat16,
}

impl From<LoraDtype> for files::Dtype {
    fn from(dtype: LoraDtype) -> Self {
        match dtype {
            LoraDtype::Float32 => Self::Float32,
            LoraDtype::Bfloat16 => Self::Bfloat16,
        }
    }
}

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct DpoArgs {
    /// A language model, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Preference pairs: JSON Lines with prompt, chosen and rejected as TRL takes them, as texts or as messages.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Where the PEFT adapter goes.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// A PEFT adapter to continue from, a folder or a name on the hub; it is also the reference.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lora_rank", "lora_alpha", "lora_targets"])]
    adapter: Option<PathBuf>,
    /// Rank of the LoRA factors.
    #[arg(long, value_name = "R", default_value_t = defaults().lora.rank)]
    lora_rank: usize,
    /// Numerator of their scaling [default: the rank].
    #[arg(long, value_name = "A")]
    lora_alpha: Option<f64>,
    /// What the factors and AdamW's moments of them are kept in.
    #[arg(long, value_enum, default_value = "float32")]
    lora_dtype: LoraDtype,
    /// The projections that get factors [default: all seven].
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    lora_targets: Vec<String>,
    /// Passes over the pairs.
    #[arg(long, value_name = "N", default_value_t = defaults().epochs)]
    epochs: usize,
    /// Pairs in a batch.
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size)]
    batch_size: usize,
    /// Batches in an optimizer step.
    #[arg(long, value_name = "N", default_value_t = defaults().dpo.accumulate)]
    accumulate: usize,
    /// The first learning rate; it falls to zero linearly.
    #[arg(long, value_name = "X", default_value_t = defaults().learning_rate)]
    learning_rate: f64,
    /// How strongly the policy is held to the reference.
    #[arg(long, value_name = "X", default_value_t = defaults().dpo.beta)]
    beta: f64,
    /// The preference loss.
    #[arg(long, value_enum, default_value_t = defaults().dpo.loss_type.into())]
    loss: Loss,
    /// Share of preferences assumed to be wrong (TRL's label_smoothing), from 0 to 0.5; sigmoid loss only.
    #[arg(long, value_name = "X", default_value_t = defaults().dpo.label_smoothing)]
    label_smoothing: f64,
    /// Weight of the chosen replies' own likelihood beside the loss.
    #[arg(long, value_name = "X", default_value_t = defaults().dpo.sft_weight)]
    sft_weight: f64,
    /// Tokens of prompt and reply together, at most; replies are cut there.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_length: usize,
    /// Take the pairs in the file's order.
    #[arg(long)]
    no_shuffle: bool,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    /// Train anew even if nothing has changed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Recompute activations in the backward pass: slower, less memory. Without the flag it is used only for a 4-bit base and if
    /// the CPU's memory would not suffice.
    #[arg(long)]
    gradient_checkpointing: bool,
    /// How the steps are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Serialize)]
struct Trained {
    steps: Vec<Map<String, Value>>,
    speed: Speed,
}

/// What differs from run to run; zeros if nothing was done.
#[derive(Default, Serialize)]
struct Speed {
    /// Seconds for the reference's log-probabilities, before the first step.
    reference_seconds: f64,
    /// The steps' own speed.
    pairs_per_second: f64,
    /// The most memory that was held.
    peak_bytes: Option<u64>,
}

impl DpoArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        self.check()?;
        let devices = self.device.devices(job)?;
        let targets = if self.lora_targets.is_empty() {
            Projection::ALL.to_vec()
        } else {
            // `check` has refused unknown names.
            let named = |name: &String| Projection::from_name(name);
            self.lora_targets.iter().filter_map(named).collect()
        };
        let alpha = self.lora_alpha.unwrap_or(self.lora_rank as f64);
        let dpo = DpoConfig::new()
            .with_beta(self.beta)
            .with_loss_type(self.loss.into())
            .with_label_smoothing(self.label_smoothing)
            .with_sft_weight(self.sft_weight)
            .with_accumulate(self.accumulate);
        let model = hub::checkpoint(&self.model, job)?;
        let find = |name: &PathBuf| hub::folder(name, job);
        let adapter = self.adapter.as_ref().map(find).transpose()?;
        let read = [model.as_folder(), adapter.as_deref()];
        let read: Vec<&Path> = read.into_iter().flatten().collect();
        check_output(
            &self.output,
            &read,
            "dpo.json",
            &["adapter_config.json", "config.json"],
        )?;
        let precision = self.precision.precision(Precision::default());
        let lora_dtype = DType::from(files::Dtype::from(self.lora_dtype));
        let config = |seq| {
            let work = Work::Train {
                rank: self.lora_rank,
                factor_bytes: lora_dtype.size(),
                batch_size: self.batch_size,
                seq,
                gradient_checkpointing: self.gradient_checkpointing,
            };
            EngineConfig::new(model.clone(), work).with_precision(precision)
        };
        let text = input::read(&self.pairs, job)?;
        let pairs = self.read_pairs(&text, &Engine::open(config(0), &devices)?, job)?;
        let longest = pairs.iter().map(DpoExample::len).max().unwrap_or(0);
        let config = config(longest);

        let training =
            DpoTraining::new(LoraConfig::new(self.lora_rank, alpha).with_target_modules(targets))
                .with_lora_dtype(lora_dtype)
                .with_dpo(dpo)
                .with_epochs(self.epochs)
                .with_batch_size(self.batch_size)
                .with_learning_rate(self.learning_rate)
                .with_seed(self.seed)
                .with_shuffle(!self.no_shuffle);
        let work = self.output.join("training");
        let spec = StageSpec::new("dpo", self.output.join("dpo.json"))
            .with_settings(json!(training))
            .with_settings(json!({
                "model": model.hash()?,
                "pairs": files::checksum_of(&text),
                "adapter": adapter.as_deref().map(folder_hash).transpose()?,
                "max_length": self.max_length,
            }))
            .with_settings(json!(precision))
            .with_about(json!({"model_name": model.reference(&self.output)}))
            .writes(Output::work(&work));
        let stage = open_stage(spec, &self.output, &MADE, self.force, job)?;
        let Some((mut stage, _lock)) = stage else {
            return self.tell(None);
        };
        config.announce("to train", 0, devices.first(), job)?;
        let base = Engine::open(config, &devices)?.load()?;
        let run = DpoRun {
            training: &training,
            adapter: adapter.as_deref(),
            base: &model,
            precision,
            output: &self.output,
            work: &work,
            gradient_checkpointing: self.gradient_checkpointing,
            record_steps: true,
        };
        let trained = run.run(&base.models, pairs, job)?;
        stage.complete()?;
        // The checkpoints are no longer needed.
        files::remove_dir(&work.join("checkpoint"))?;
        self.tell(Some(Speed {
            reference_seconds: trained.reference_seconds,
            pairs_per_second: trained.pairs_per_second,
            peak_bytes: memory::peak(),
        }))
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("--lora-rank", self.lora_rank),
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
            ("--accumulate", self.accumulate),
            ("--max-length", self.max_length),
        ] {
            if value == 0 {
                return Err(Error::Usage(format!("{name} is 0, but must be at least 1")));
            }
            if value > LARGEST_COUNT {
                let reason = format!("{name} is {value}, but must be at most {LARGEST_COUNT}");
                return Err(Error::Usage(reason));
            }
        }
        if let Some(name) = self
            .lora_targets
            .iter()
            .find(|name| Projection::from_name(name).is_none())
        {
            let known = Projection::ALL.map(Projection::name).join(", ");
            return Err(Error::Usage(format!(
                "--lora-targets: there is no projection {name}; choose from {known}"
            )));
        }
        for (name, value, most) in [
            ("--learning-rate", self.learning_rate, 1.0),
            ("--beta", self.beta, LARGEST_SCALE),
            (
                "--lora-alpha",
                self.lora_alpha.unwrap_or(1.0),
                LARGEST_SCALE,
            ),
        ] {
            if !(value > 0.0 && value <= most) {
                let reason = format!("{name} is {value}, but must be above 0 and at most {most}");
                return Err(Error::Usage(reason));
            }
        }
        if !(0.0..=0.5).contains(&self.label_smoothing) {
            return Err(Error::Usage(format!(
                "--label-smoothing is {}, but must be from 0 to 0.5",
                self.label_smoothing
            )));
        }
        if !(0.0..=LARGEST_SCALE).contains(&self.sft_weight) {
            return Err(Error::Usage(format!(
                "--sft-weight is {}, but must be at least 0 and at most {LARGEST_SCALE}",
                self.sft_weight
            )));
        }
        Ok(())
    }

    fn read_pairs(&self, text: &str, engine: &Engine, job: &Job) -> Result<Vec<DpoExample>> {
        let tokenizer = engine.tokenizer().clone();
        // The tokenizer's own, as in TRL, else the model's first.
        let first = engine.eos_token_ids().first();
        let first = first.and_then(|id| tokenizer.token(*id));
        let eos = engine.format().eos_token().or(first).ok_or_else(|| {
            let reason =
                "neither tokenizer_config.json nor config.json names the token that ends a text";
            Error::invalid(engine.checkpoint().name(), reason)
        })?;
        let max_length = self.max_length.min(engine.max_tokens());
        let records: Vec<Preference> = files::parse_jsonl(&self.pairs, text)?;
        let mut pairs = Vec::with_capacity(records.len());
        let encoder = PreferenceEncoder {
            tokenizer,
            template: engine.format().template().cloned(),
            eos,
            max_length,
        };
        for (place, record) in records.iter().enumerate() {
            let encoded = encoder.encode(record).map_err(|error| match error {
                Error::Usage(reason) => {
                    Error::invalid(&self.pairs, format!("pair {}: {reason}", place + 1))
                }
                other => Error::invalid(&self.pairs, format!("pair {}: {other}", place + 1)),
            });
            pairs.extend(encoded?);
        }
        if records.is_empty() {
            return Err(Error::invalid(&self.pairs, "has no pairs"));
        }
        let left_out = records.len() - pairs.len();
        if pairs.is_empty() {
            return Err(Error::invalid(
                &self.pairs,
                format!("has no pair whose prompt is shorter than {max_length} tokens"),
            ));
        }
        if left_out > 0 {
            job.progress.note(&format!(
                "{left_out} pairs are left out: their prompts have no token, or {max_length} or more"
            ));
        }
        Ok(pairs)
    }

    fn tell(&self, speed: Option<Speed>) -> Result<()> {
        let steps: Vec<Map<String, Value>> = files::read_jsonl(&self.output.join("steps.jsonl"))?;
        match self.format {
            Format::Json => print_json(&Trained {
                steps,
                speed: speed.unwrap_or_default(),
            }),
            Format::Text => {
                let [model, output] =
                    [&self.model, &self.output].map(|path| path.to_string_lossy());
                let logprobs = ["logprobs", "--model", &model, "--adapter", &output];
                let texts = ["--prompt", "…", "--response", "…"];
                print(&format!(
                    "optimizer steps  {}\nsteps            {}\nadapter          {output}\n\nnext: {}",
                    steps.len(),
                    self.output.join("steps.jsonl").display(),
                    command(logprobs.into_iter().chain(texts)),
                ))
            }
        }
    }
}
