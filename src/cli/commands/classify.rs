//! `apc classify`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cli::args::device::{DeviceArgs, Dtype, Quantization, supported};
use crate::cli::args::hub;
use crate::cli::args::model::TokenizerArgs;
use crate::cli::input;
use crate::cli::output::{Format, print, print_json};
use crate::files::Precision;
use crate::progress::Job;
use crate::text::Classifier;
use crate::{Error, Result, files};

#[derive(Args, Debug)]
pub(crate) struct ClassifyArgs {
    /// A classifier, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// JSON Lines with a text field: what the classifier reads, as it is; for a pair with text_pair, too.
    #[arg(long, value_name = "FILE")]
    texts: PathBuf,
    /// Tokens that go through the model at once, padding included [default: 1024 on a CPU, 16384 elsewhere].
    #[arg(long, value_name = "N")]
    batch_tokens: Option<usize>,
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// What the weights are kept in.
    #[arg(long, value_enum, default_value = "float32")]
    dtype: Dtype,
    /// In how many bits the projections are kept.
    #[arg(long, value_enum, default_value = "none")]
    quantization: Quantization,
    /// How the probabilities are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    /// The second text of a pair.
    text_pair: Option<String>,
}

#[derive(Serialize)]
struct Classified<'a> {
    /// The classes, in the order of the probabilities.
    labels: &'a [String],
    probabilities: Vec<Vec<f32>>,
    speed: Speed,
}

/// What differs from run to run.
#[derive(Serialize)]
struct Speed {
    texts_per_second: f64,
}

impl ClassifyArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        if self.batch_tokens == Some(0) {
            return Err(Error::Usage(
                "--batch-tokens is 0, but must be at least 1".into(),
            ));
        }
        let texts = input::read(&self.texts, job)?;
        let texts: Vec<Text> = files::parse_jsonl(&self.texts, &texts)?;
        let devices = self.device.devices(job)?;
        let precision = Precision {
            dtype: supported(self.dtype, devices.first())?,
            quantization: self.quantization.into(),
            ..Precision::default()
        };
        let classifier = Classifier::load_with(
            &hub::checkpoint(&self.model, job)?,
            self.tokenizer.byte_fallback(),
            precision,
            &devices,
        )?;
        let start = Instant::now();
        let batch_tokens = self.batch_tokens.unwrap_or(classifier.batch_tokens());
        let encode = |line: &Text| match &line.text_pair {
            None => classifier.encode_one(&line.text),
            Some(second) => classifier.encode_pair(&line.text, second),
        };
        let encoded: Vec<_> = texts.par_iter().map(encode).collect::<Result<_>>()?;
        let probabilities = classifier.probabilities(&encoded, batch_tokens, "classify", job)?;
        let texts_per_second = texts.len() as f64 / start.elapsed().as_secs_f64();
        match self.format {
            Format::Json => print_json(&Classified {
                labels: classifier.labels(),
                probabilities,
                speed: Speed { texts_per_second },
            }),
            Format::Text => {
                let labels = classifier.labels();
                print(&labels.join("\t"))?;
                for row in &probabilities {
                    let cells: Vec<String> = row.iter().map(|p| format!("{p:.4}")).collect();
                    print(&cells.join("\t"))?;
                }
                Ok(())
            }
        }
    }
}
