//! `apc logprobs`.

use clap::Args;
use serde::Serialize;

use crate::cli::args::model::LanguageModelArgs;
use crate::cli::output::{Format, print, print_json};
use crate::progress::Job;
use crate::text::Work;
use crate::{Error, Result};

#[derive(Args, Debug)]
pub(crate) struct LogprobsArgs {
    #[command(flatten)]
    model: LanguageModelArgs,
    /// What comes first; the tokenizer adds its special tokens.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: String,
    /// What follows; no special tokens are added.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    response: String,
    /// How the numbers are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Logprobs {
    prompt_ids: Vec<i32>,
    response_ids: Vec<i32>,
    logprobs: Vec<f32>,
    sum: f64,
}

impl LogprobsArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let tokens = self.prompt.len() + self.response.len();
        let engine = self.model.engine(Work::Logps { tokens }, job)?;
        let tokenizer = engine.tokenizer();
        let prompt_ids = tokenizer.encode(&self.prompt)?;
        let response_ids = tokenizer.encode_bare(&self.response)?;
        let n_tokens = prompt_ids.len() + response_ids.len();
        if prompt_ids.is_empty() || response_ids.is_empty() {
            return Err(Error::Usage(
                "--prompt and --response must have at least one token each".into(),
            ));
        }
        if n_tokens > engine.max_tokens() {
            return Err(Error::Usage(format!(
                "prompt and response have {n_tokens} tokens, but the model takes {}; shorten them",
                engine.max_tokens()
            )));
        }
        let logprobs = engine.logps(&prompt_ids, &response_ids)?;
        let sum = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        match self.format {
            Format::Json => print_json(&Logprobs {
                prompt_ids,
                response_ids,
                logprobs,
                sum,
            }),
            Format::Text => {
                for (id, logprob) in response_ids.iter().zip(&logprobs) {
                    let token = tokenizer.token(*id).unwrap_or_default();
                    print(&format!("{logprob:>10.4}  {token}"))?;
                }
                print(&format!("{sum:>10.4}  in all"))
            }
        }
    }
}
