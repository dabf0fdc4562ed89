//! `apc finetune`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::hub;
use crate::cli::args::model::TokenizerArgs;
use crate::cli::input;
use crate::cli::next::command;
use crate::cli::output::{Format, check_output, open_stage, print, print_json};
use crate::files::MOST_CLASSES;
use crate::pipeline::{FineTune, FineTuneConfig, FineTuned, LARGEST_COUNT, Output, StageSpec};
use crate::progress::Job;
use crate::text::{EncodedText, Tokenizer};
use crate::{Error, Result, files};

/// The library's defaults; the number of epochs has none.
fn defaults() -> FineTuneConfig {
    FineTuneConfig::new(1)
}

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct FinetuneArgs {
    /// A classifier, or a base model that gets a fresh head: a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// JSON Lines with text and label, a number from 0.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Where the classifier goes.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Passes over the texts.
    #[arg(long, value_name = "N")]
    epochs: usize,
    /// Texts in a step.
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size)]
    batch_size: usize,
    /// AdamW's learning rate, which stays the same.
    #[arg(long, value_name = "X", default_value_t = defaults().learning_rate)]
    learning_rate: f64,
    /// The share of the texts that is held out; the weights of the epoch that is best on them are kept, with 0 the last.
    #[arg(long, value_name = "X", default_value_t = defaults().held_out)]
    held_out: f64,
    /// Take the texts in the file's order, and hold out those at its end.
    #[arg(long)]
    no_shuffle: bool,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Drop values while training, as often as config.json says.
    #[arg(long)]
    dropout: bool,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    /// Train again even if nothing has changed.
    #[arg(long)]
    force: bool,
    /// How the steps are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

/// The file with a fine-tuning's summary.
const SUMMARY: &str = "accuracies.json";
/// The files that it makes.
const MADE: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "judge.json",
    "steps.jsonl",
    SUMMARY,
];

#[derive(Deserialize)]
struct Example {
    text: String,
    label: usize,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
}

#[derive(Serialize)]
struct Trained {
    losses: Vec<f64>,
    accuracies: Vec<f64>,
    best_epoch: usize,
    speed: Speed,
}

/// What differs from run to run; zero if nothing was done.
#[derive(Serialize)]
struct Speed {
    texts_per_second: f64,
}

impl FinetuneArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        for (name, value) in [("--epochs", self.epochs), ("--batch-size", self.batch_size)] {
            if value == 0 {
                return Err(Error::Usage(format!("{name} is 0, but must be at least 1")));
            }
            if value > LARGEST_COUNT {
                let reason = format!("{name} is {value}, but must be at most {LARGEST_COUNT}");
                return Err(Error::Usage(reason));
            }
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return Err(Error::Usage(format!(
                "--learning-rate is {}, but must be above 0 and at most 1",
                self.learning_rate
            )));
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(Error::Usage(format!(
                "--held-out is {}, but must be at least 0 and below 1",
                self.held_out
            )));
        }
        let devices = self.device.devices(job)?;
        let text = input::read(&self.data, job)?;
        let examples: Vec<Example> = files::parse_jsonl(&self.data, &text)?;
        if let Some(place) = examples
            .iter()
            .position(|example| example.label >= MOST_CLASSES)
        {
            let label = examples[place].label;
            let reason = format!(
                "text {} has the label {label}; use class numbers from 0, below {MOST_CLASSES}",
                place + 1
            );
            return Err(Error::invalid(&self.data, reason));
        }
        let texts: Vec<(String, usize)> = examples
            .into_iter()
            .map(|example| (example.text, example.label))
            .collect();
        if texts.is_empty() {
            return Err(Error::invalid(&self.data, "has no text"));
        }
        let model = hub::checkpoint(&self.model, job)?;
        let read: Vec<&Path> = model.as_folder().into_iter().collect();
        check_output(&self.output, &read, "finetune.json", &["config.json"])?;
        let config = FineTuneConfig::new(self.epochs)
            .with_batch_size(self.batch_size)
            .with_learning_rate(self.learning_rate)
            .with_held_out(self.held_out)
            .with_shuffle(!self.no_shuffle)
            .with_dropout(self.dropout)
            .with_seed(self.seed);
        let work = self.output.join("training");
        let summary = self.output.join(SUMMARY);
        let spec = StageSpec::new("finetune", self.output.join("finetune.json"))
            .with_settings(json!(config))
            .with_settings(json!({
                "model": model.hash()?,
                "data": files::checksum_of(&text),
                "byte_fallback": self.tokenizer.byte_fallback(),
            }))
            .with_about(json!({"model_name": model.reference(&self.output)}))
            .writes(Output::work(&work));
        let stage = open_stage(spec, &self.output, &MADE, self.force, job)?;
        let Some((mut stage, _lock)) = stage else {
            return self.tell(&files::read_json(&summary)?);
        };
        let run = FineTune {
            label: "finetune",
            config: &config,
            base: &model,
            output: &self.output,
            work: &work,
            byte_fallback: self.tokenizer.byte_fallback(),
            record_steps: true,
            classes: None,
        };
        let encode = |tokenizer: &Tokenizer, max_tokens: usize| {
            let encode = |(text_idx, (text, label)): (usize, &(String, usize))| {
                let ids = tokenizer.encode(text)?;
                if ids.len() > max_tokens {
                    return Err(Error::Usage(format!(
                        "text {} has {} tokens, but the classifier reads at most {max_tokens}; shorten it",
                        text_idx + 1,
                        ids.len()
                    )));
                }
                Ok((EncodedText::from(ids), *label))
            };
            texts.iter().enumerate().map(encode).collect()
        };
        let trained = run.run(&encode, &devices, job)?;
        files::write_json(&summary, &trained)?;
        stage.complete()?;
        // The checkpoints are no longer needed.
        files::remove_dir(&work.join("checkpoint"))?;
        self.tell(&trained)
    }

    fn tell(&self, trained: &FineTuned) -> Result<()> {
        let steps: Vec<Step> = files::read_jsonl(&self.output.join("steps.jsonl"))?;
        match self.format {
            Format::Json => print_json(&Trained {
                losses: steps.iter().map(|step| step.loss).collect(),
                accuracies: trained.accuracies.clone(),
                best_epoch: trained.best_epoch,
                speed: Speed {
                    texts_per_second: trained.texts_per_second,
                },
            }),
            Format::Text => {
                let best = trained.accuracies.get(trained.best_epoch.wrapping_sub(1));
                let best = best.map_or(String::new(), |best| {
                    format!(", right in {:.1} % of the texts held out", best * 100.0)
                });
                let output = self.output.to_string_lossy();
                print(&format!(
                    "optimizer steps  {}\nkept             epoch {} of {}{best}\nclassifier       {output}\n\n\
                     next: {}",
                    steps.len(),
                    trained.best_epoch,
                    self.epochs,
                    command(["classify", "--model", &output, "--texts", "FILE.jsonl"]),
                ))
            }
        }
    }
}
