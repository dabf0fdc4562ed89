//! `apc generate`.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::cli::args::model::LanguageModelArgs;
use crate::cli::output::{Format, print, print_json};
use crate::progress::Job;
use crate::text::{GenerateConfig, Prompt, Sampling, Token, Work};
use crate::{Error, Result};

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: LanguageModelArgs,
    /// The text to continue; the tokenizer adds its special tokens, and nothing else is added.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: String,
    /// The most tokens to add.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// The fewest tokens to add before the text may end.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_new_tokens: usize,
    /// 0 takes the likeliest token each time; 1 draws from the model's own probabilities.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    temperature: f32,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// How the text is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Generated {
    ids: Vec<i32>,
    text: String,
    speed: Speed,
}

/// What differs from run to run.
#[derive(Serialize)]
struct Speed {
    tokens_per_second: f64,
}

impl GenerateArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        if self.max_new_tokens == 0 || self.min_new_tokens > self.max_new_tokens {
            return Err(Error::Usage(format!(
                "--max-new-tokens is {}, but must be at least 1 and at least --min-new-tokens, {}",
                self.max_new_tokens, self.min_new_tokens
            )));
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::Usage(format!(
                "--temperature is {}, but must be at least 0",
                self.temperature
            )));
        }
        let work = Work::Reply {
            tokens: self.prompt.len().saturating_add(self.max_new_tokens),
            new_tokens: self.max_new_tokens,
        };
        let engine = self.model.engine(work, job)?;
        let ids = engine.tokenizer().encode(&self.prompt)?;
        if ids.is_empty() {
            return Err(Error::Usage("--prompt must have at least one token".into()));
        }
        if ids.len().saturating_add(self.max_new_tokens) > engine.max_tokens() {
            return Err(Error::Usage(format!(
                "the prompt has {} tokens and --max-new-tokens is {}, but the model takes {} in all; shorten one of them",
                ids.len(),
                self.max_new_tokens,
                engine.max_tokens()
            )));
        }
        let config = GenerateConfig {
            min_new_tokens: self.min_new_tokens,
            sampling: Sampling::at_temperature(self.temperature),
            stop_ids: engine.eos_token_ids().to_vec(),
            ..GenerateConfig::new(self.max_new_tokens)
        };
        let prompt = Prompt {
            ids,
            seeds: vec![self.seed],
        };
        engine.load()?;
        let task = job.progress.task("generate", self.max_new_tokens, "tokens");
        let start = Instant::now();
        let mut on_token = |_, _: &Token| task.advance(1);
        let replies = engine.generate(&[prompt], &config, job, &mut on_token)?;
        let seconds = start.elapsed().as_secs_f64();
        drop(task);
        let ids = replies.into_iter().flat_map(|reply| reply.ids);
        let ids: Vec<i32> = ids.collect();
        let text = engine.tokenizer().decode_reply(&ids)?;
        match self.format {
            Format::Json => print_json(&Generated {
                speed: Speed {
                    tokens_per_second: ids.len() as f64 / seconds,
                },
                ids,
                text,
            }),
            Format::Text => print(&text),
        }
    }
}
