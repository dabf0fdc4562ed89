//! `apc pretrain`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::args::device::DeviceArgs;
use crate::cli::next::command;
use crate::cli::output::{Format, print, print_json};
use crate::pipeline::{Lock, Output, Stage, StageSpec};
use crate::progress::Job;
use crate::tiny::pretrain::{Pretrain, evaluate_judges, pretrain};
use crate::{Error, Result, files};

#[derive(Args, Debug)]
pub(crate) struct PretrainArgs {
    /// Where gemma, relevance, nli and evaluation are made; what is there already stays.
    #[arg(long, value_name = "DIR", default_value = "models/tiny")]
    output: PathBuf,
    /// Where checkpoints are kept while it runs [default: the output's name with .training behind it].
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Seed of all random numbers.
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
    /// Make all of it anew, whatever made what is there.
    #[arg(long)]
    force: bool,
    /// How the judges' accuracies are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

impl PretrainArgs {
    /// A command that uses the models; they are named if they are not the embedded ones.
    fn next(&self) -> String {
        let train = ["train", "--character", "Alice"];
        if self.output == Path::new("models/tiny") {
            return command(train);
        }
        let path = |name: &str| self.output.join(name).to_string_lossy().into_owned();
        let [gemma, relevance, nli] = ["gemma", "relevance", "nli"].map(path);
        let models = ["--model", &gemma, "--relevance", &relevance, "--nli", &nli];
        command(train.into_iter().chain(models))
    }

    /// Fails if the output or the checkpoints were made with other settings: models take hours and must not be replaced by
    /// accident.
    fn check_same(&self, known: bool, changed: &[String], made: &[PathBuf]) -> Result<()> {
        let differs = match changed {
            [] if known || !made.iter().any(|path| path.exists()) => return Ok(()),
            [] => "settings that are not known any more".to_string(),
            changed => format!("other settings: {}", changed.join(", ")),
        };
        Err(Error::invalid(
            &self.output,
            format!(
                "was made with {differs}; use --force to make it again, or --output for another folder"
            ),
        ))
    }

    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let device = self.device.device(job)?;
        let config = Pretrain::new()
            .with_seed(self.seed)
            .with_language_examples(self.language_examples)
            .with_nli_examples(self.nli_examples)
            .with_relevance_examples(self.relevance_examples);
        let work = self.work.clone().unwrap_or_else(|| {
            let mut name = self.output.clone().into_os_string();
            name.push(".training");
            name.into()
        });
        let record = work.join("pretrain.json");
        let known = record.is_file();
        let checkpoints = work.join("checkpoints");
        let made = ["gemma", "relevance", "nli", "evaluation"].map(|name| self.output.join(name));
        let mut spec = StageSpec::new("pretrain", record)
            .with_settings(json!(config))
            .writes(Output::work(&checkpoints));
        for path in &made {
            spec = spec.writes(Output::result(path));
        }
        if !self.force {
            self.check_same(known, &spec.changed_settings()?, &made)?;
        }
        // Other checkpoints may be on their way to the same models.
        let _locks = [Lock::folder(&work)?, Lock::folder(&self.output)?];
        let mut stage = Stage::open(spec, self.force, job)?;
        pretrain(&config, &self.output, &checkpoints, &device, job)?;
        stage.complete()?;
        files::remove_dir(&checkpoints)?;
        // Personas that no judge has seen: from a seed that no training uses.
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
                 next: {}",
                self.output.display(),
                self.next()
            )),
        }
    }
}
