//! `apc dpo`.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::args::device::{DeviceArgs, Dtype, Quantization};
use crate::cli::args::hub;
use crate::cli::{Format, check_output, open_stage, print, print_json};
use crate::nn::{LoraConfig, Projection};
use crate::pipeline::{DpoRun, DpoTraining, Output, StageSpec, folder_hash};
use crate::progress::Job;
use crate::text::{ChatTemplate, Tokenizer};
use crate::train::{DpoConfig, LossType, Preference, PreferenceEncoder};
use crate::{Error, Result, files, memory};

/// The files that a training makes.
const MADE: [&str; 3] = [
    "adapter_config.json",
    "adapter_model.safetensors",
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoraDtype {
    /// As PEFT keeps them.
    Float32,
    /// Half the memory; small steps get lost.
    Bfloat16,
}

impl From<LoraDtype> for DType {
    fn from(dtype: LoraDtype) -> Self {
        match dtype {
            LoraDtype::Float32 => Self::F32,
            LoraDtype::Bfloat16 => Self::BF16,
        }
    }
}

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct DpoArgs {
    /// A Gemma, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Preference pairs: JSON Lines with prompt, chosen and rejected as TRL takes them, as texts or as messages.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Where the PEFT adapter goes.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// A PEFT adapter to go on from, a folder or a name on the hub; it is the reference, too.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lora_rank", "lora_alpha", "lora_targets"])]
    adapter: Option<PathBuf>,
    /// Rank of the LoRA factors.
    #[arg(long, value_name = "R", default_value_t = 32)]
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
    #[arg(long, value_name = "N", default_value_t = 1)]
    epochs: usize,
    /// Pairs in a batch.
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch_size: usize,
    /// Batches in an optimizer step.
    #[arg(long, value_name = "N", default_value_t = 8)]
    accumulate: usize,
    /// The first learning rate; it falls to zero in a line.
    #[arg(long, value_name = "X", default_value_t = 2e-4)]
    learning_rate: f64,
    /// How strongly the policy is held to the reference.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    beta: f64,
    /// What is made of the difference between the two replies.
    #[arg(long, value_enum, default_value = "sigmoid")]
    loss: Loss,
    /// How many of the preferences are taken to be wrong, from 0 to 0.5; for the sigmoid loss.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    label_smoothing: f64,
    /// Weight of the chosen replies' own likelihood beside the loss.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    sft_weight: f64,
    /// Tokens of prompt and reply together, at most; replies are cut there.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_length: usize,
    /// Take the pairs in the file's order.
    #[arg(long)]
    no_shuffle: bool,
    /// Everything random comes from it.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Train anew even if nothing has changed.
    #[arg(long)]
    force: bool,
    /// What the base model's weights are kept in; the adapter has its own.
    #[arg(long, value_enum, default_value = "float32")]
    dtype: Dtype,
    /// In how many bits the base model's weights are kept.
    #[arg(long, value_enum, default_value = "none")]
    quantization: Quantization,
    /// Compute activations anew in the backward pass: slower, in less memory. Without it that is done where the
    /// base is in four bits, or where the CPU's memory would be short.
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
    #[serde(flatten)]
    speed: Speed,
    peak_bytes: Option<u64>,
}

/// How fast a run was; zeros if nothing was done.
#[derive(Default, Serialize)]
struct Speed {
    /// The reference's log-probabilities, which come first.
    reference_seconds: f64,
    /// Behind them, in the steps.
    pairs_per_second: f64,
}

impl DpoArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        self.check()?;
        let devices = self.device.devices(job)?;
        let dtype = self.dtype.on(devices.first())?;
        let targets = if self.lora_targets.is_empty() {
            Projection::ALL.map(|p| p.name().to_string()).to_vec()
        } else {
            self.lora_targets.clone()
        };
        let alpha = self.lora_alpha.unwrap_or(self.lora_rank as f64);
        let dpo = DpoConfig::new()
            .with_beta(self.beta)
            .with_loss_type(self.loss.into())
            .with_label_smoothing(self.label_smoothing)
            .with_sft_weight(self.sft_weight)
            .with_accumulate(self.accumulate);
        let model = hub::folder(&self.model, job)?;
        let find = |name: &PathBuf| hub::folder(name, job);
        let adapter = self.adapter.as_ref().map(find).transpose()?;
        let read = [Some(model.as_path()), adapter.as_deref()];
        let read: Vec<&Path> = read.into_iter().flatten().collect();
        check_output(
            &self.output,
            &read,
            "dpo.json",
            &["adapter_config.json", "config.json"],
        )?;
        let text = files::read_text(&self.pairs)?;
        let pairs = self.read_pairs(&text, &model, job)?;

        let training =
            DpoTraining::new(LoraConfig::new(self.lora_rank, alpha).with_target_modules(targets))
                .with_lora_dtype(self.lora_dtype.into())
                .with_dpo(dpo)
                .with_epochs(self.epochs)
                .with_batch_size(self.batch_size)
                .with_learning_rate(self.learning_rate)
                .with_seed(self.seed)
                .with_shuffle(!self.no_shuffle);
        let work = self.output.join("training");
        let mut spec = StageSpec::new("dpo", self.output.join("dpo.json"))
            .with_settings(json!(training))
            .with_settings(json!({
                "model": folder_hash(&model)?,
                "pairs": files::checksum_of(&text),
                "adapter": adapter.as_deref().map(folder_hash).transpose()?,
                "max_length": self.max_length,
                "dtype": self.dtype,
                "quantization": self.quantization,
            }))
            .writes(Output::work(&work));
        for name in MADE {
            spec = spec.writes(Output::result(self.output.join(name)));
        }
        let mut stage = open_stage(spec, self.force, job)?;
        if stage.is_complete() {
            job.progress.note(&format!(
                "{} is complete, nothing was done",
                self.output.display()
            ));
            return self.tell(None);
        }
        let gemma =
            files::load_quantized_gemma(&model, self.quantization.into(), dtype, devices.first())?;
        let run = DpoRun {
            training: &training,
            adapter: adapter.as_deref(),
            base: &self.model,
            output: &self.output,
            work: &work,
            gradient_checkpointing: self.gradient_checkpointing,
            record_steps: true,
        };
        let trained = run.run(&gemma, pairs, &devices, job)?;
        stage.complete()?;
        // The checkpoints have done their part.
        files::remove_dir(&work.join("checkpoint"))?;
        self.tell(Some(Speed {
            reference_seconds: trained.reference_seconds,
            pairs_per_second: trained.pairs_per_second,
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
            ("--beta", self.beta, f64::MAX),
            ("--lora-alpha", self.lora_alpha.unwrap_or(1.0), f64::MAX),
        ] {
            if !(value > 0.0 && value <= most) {
                return Err(Error::Usage(format!(
                    "{name} is {value}, but must be above 0{}",
                    if most < f64::MAX {
                        " and at most 1"
                    } else {
                        ""
                    }
                )));
            }
        }
        if !(0.0..=0.5).contains(&self.label_smoothing) {
            return Err(Error::Usage(format!(
                "--label-smoothing is {}, but must be from 0 to 0.5",
                self.label_smoothing
            )));
        }
        if !(self.sft_weight >= 0.0 && self.sft_weight.is_finite()) {
            return Err(Error::Usage(format!(
                "--sft-weight is {}, but must be at least 0",
                self.sft_weight
            )));
        }
        Ok(())
    }

    fn read_pairs(
        &self,
        text: &str,
        model: &Path,
        job: &Job,
    ) -> Result<Vec<crate::train::DpoExample>> {
        let tokenizer = Tokenizer::load(model)?;
        let eos = files::read_eos_token_ids(model)?
            .first()
            .and_then(|id| tokenizer.token(*id))
            .ok_or_else(|| {
                Error::invalid(model, "config.json names no eos_token_id of the vocabulary")
            })?;
        let limit = files::read_gemma_config(model)?.max_position_embeddings;
        let max_length = self.max_length.min(limit);
        let records: Vec<Preference> = files::parse_jsonl(&self.pairs, text)?;
        let mut pairs = Vec::with_capacity(records.len());
        let encoder = PreferenceEncoder {
            tokenizer,
            template: ChatTemplate::load(model)?,
            eos,
            max_length,
        };
        for record in &records {
            pairs.extend(encoder.encode(record)?);
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
                peak_bytes: memory::peak(),
            }),
            Format::Text => print(&format!(
                "optimizer steps  {}\nsteps            {}\nadapter          {}\n\nnext: apc logprobs --model {} --adapter {} \
                 --prompt \"…\" --response \"…\"",
                steps.len(),
                self.output.join("steps.jsonl").display(),
                self.output.display(),
                self.model.display(),
                self.output.display(),
            )),
        }
    }
}
