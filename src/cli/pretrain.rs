//! `apc pretrain`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::device::DeviceArgs;
use super::{Format, print, print_json};
use crate::Result;
use crate::pretrain::{Pretrain, evaluate_judges, pretrain};
use crate::progress::Job;

#[derive(Args, Debug)]
pub(super) struct PretrainArgs {
    /// Where gemma, relevance, nli and evaluation are made; what is there already stays.
    #[arg(long, value_name = "DIR", default_value = "models/tiny")]
    output: PathBuf,
    /// Where checkpoints are kept while it runs.
    #[arg(long, value_name = "DIR", default_value = "models/tiny.training")]
    work: PathBuf,
    /// Everything random comes from it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Personas from whose statements Gemma learns to answer.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().language_examples)]
    language_examples: usize,
    /// Texts that each NLI judge learns from.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().nli_examples)]
    nli_examples: usize,
    /// Texts that each relevance judge learns from.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().relevance_examples)]
    relevance_examples: usize,
    /// How the judges' accuracies are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

impl PretrainArgs {
    pub(super) fn run(&self, job: &Job) -> Result<()> {
        let device = self.device.device(job)?;
        let config = Pretrain::new()
            .with_seed(self.seed)
            .with_language_examples(self.language_examples)
            .with_nli_examples(self.nli_examples)
            .with_relevance_examples(self.relevance_examples);
        pretrain(&config, &self.output, &self.work, &device, job)?;
        // Personas that no judge has seen: of a seed that no training used.
        let [relevance, nli] = evaluate_judges(&self.output, self.seed + 77, 3000, &device, job)?;
        let [grading_relevance, grading_nli] = evaluate_judges(
            &self.output.join("evaluation"),
            self.seed + 77,
            3000,
            &device,
            job,
        )?;
        match self.format {
            Format::Json => print_json(&json!({
                "relevance": relevance, "nli": nli,
                "evaluation/relevance": grading_relevance, "evaluation/nli": grading_nli,
            })),
            Format::Text => print(&format!(
                "models in {}\naccuracy on 3000 held-out examples: relevance {relevance:.3}, nli {nli:.3}, \
                 evaluation/relevance {grading_relevance:.3}, evaluation/nli {grading_nli:.3}\n\
                 next: apc train --character Alice",
                self.output.display()
            )),
        }
    }
}
