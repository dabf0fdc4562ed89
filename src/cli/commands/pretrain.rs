//! `apc pretrain`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::args::device::DeviceArgs;
use crate::cli::next::command;
use crate::cli::output::{Format, print, print_json};
use crate::files::Checkpoint;
use crate::pipeline::{Lock, Output, Stage, StageSpec};
use crate::progress::Job;
use crate::tiny::pretrain::{
    Part, Pretrain, PretrainParts, PretrainSources, RECIPE_VERSION, evaluate_corpus_judges,
    pretrain,
};
use crate::{Error, Result, files};

/// A part of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// relevance, nli and evaluation.
    Judges,
    /// gemma, with the relevance judge that is there.
    Gemma,
}

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
    /// Prompts, with a few questions each, from which Gemma learns to answer.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().language_examples)]
    language_examples: usize,
    /// What is made, if not all.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// A BERT as Hugging Face has it, all-MiniLM-L6-v2 for the embedded models: the judges are made of it, and the Gemma's
    /// embeddings begin with its words.
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Personas from which the models learn.
    #[arg(long, value_name = "DIR", default_value = "models/corpus")]
    corpus: PathBuf,
    /// Make all of it anew, whatever made what is there.
    #[arg(long)]
    force: bool,
    /// How the models and the judges' accuracies are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

impl PretrainArgs {
    /// A command that uses the models; they are named if they are not the embedded ones.
    fn next(&self, parts: &PretrainParts) -> String {
        let train = ["train", "--character", "Alice"];
        if self.output == Path::new("models/tiny") {
            return command(train);
        }
        let path = |name: &str| self.output.join(name).to_string_lossy().into_owned();
        let [gemma, relevance, nli] = ["gemma", "relevance", "nli"].map(path);
        let (model, judges) = (
            ["--model", &gemma],
            ["--relevance", &relevance, "--nli", &nli],
        );
        let model = model.iter().filter(|_| parts.makes(Part::Gemma));
        let judges = judges.iter().filter(|_| parts.makes(Part::Judges));
        command(train.iter().chain(model).chain(judges).copied())
    }

    /// Fails if the models or the checkpoints that are there were made with other settings: they take hours and must not be
    /// replaced by accident.
    fn check_same(&self, spec: &StageSpec, made: &[PathBuf], checkpoints: &Path) -> Result<()> {
        if !made.iter().any(|path| path.exists()) && !checkpoints.exists() {
            return Ok(());
        }
        let changed = spec.changed_settings()?;
        let differs = match &changed[..] {
            [] if spec.is_recorded()? => return Ok(()),
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

    fn parts(&self) -> PretrainParts {
        PretrainParts {
            only: self.only.map(|only| match only {
                Only::Judges => Part::Judges,
                Only::Gemma => Part::Gemma,
            }),
            from: PretrainSources {
                base: self.base.clone(),
                corpus: self.corpus.clone(),
            },
        }
    }

    /// What is made, with the settings that decide how.
    fn spec(
        &self,
        config: &Pretrain,
        parts: &PretrainParts,
        record: &Path,
        made: &[PathBuf],
    ) -> Result<StageSpec> {
        let mut spec = StageSpec::new("pretrain", record)
            .with_settings(json!({"seed": config.seed, "recipe": RECIPE_VERSION}))
            .with_settings(parts.from.identity()?);
        if parts.makes(Part::Gemma) {
            let (examples, vocab_size) = (config.language_examples, config.vocab_size);
            spec = spec
                .with_settings(json!({"language_examples": examples, "vocab_size": vocab_size}));
        }
        let relevance = Checkpoint::folder(self.output.join("relevance"));
        if !parts.makes(Part::Judges) && relevance.has("config.json") {
            spec = spec.with_settings(json!({"relevance": relevance.hash()?}));
        }
        let only = parts.only.map(|only| match only {
            Part::Judges => json!({"only": "judges"}),
            Part::Gemma => json!({"only": "gemma"}),
        });
        if let Some(only) = only {
            spec = spec.with_settings(only);
        }
        for path in made {
            spec = spec.writes(Output::result(path));
        }
        Ok(spec)
    }

    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let device = self.device.device(job)?;
        let config = Pretrain::new()
            .with_seed(self.seed)
            .with_language_examples(self.language_examples);
        let parts = self.parts();
        let work = self.work.clone().unwrap_or_else(|| {
            let mut name = self.output.clone().into_os_string();
            name.push(".training");
            name.into()
        });
        // The Gemma by itself is made beside judges, and has a record of its own.
        let (record, checkpoints) = match parts.only {
            Some(Part::Gemma) => ("pretrain-gemma.json", "checkpoints-gemma"),
            _ => ("pretrain.json", "checkpoints"),
        };
        let (record, checkpoints) = (work.join(record), work.join(checkpoints));
        let mut names = Vec::new();
        if parts.makes(Part::Gemma) {
            names.push("gemma");
        }
        if parts.makes(Part::Judges) {
            names.extend(["words", "relevance", "nli", "evaluation"]);
        }
        let made: Vec<PathBuf> = names.iter().map(|name| self.output.join(name)).collect();
        let spec = self
            .spec(&config, &parts, &record, &made)?
            .writes(Output::work(&checkpoints));
        if !self.force {
            self.check_same(&spec, &made, &checkpoints)?;
        }
        // Other checkpoints may be on their way to the same models.
        let _locks = [Lock::folder(&work)?, Lock::folder(&self.output)?];
        let mut stage = Stage::open(spec, self.force, job)?;
        pretrain(&config, &parts, &self.output, &checkpoints, &device, job)?;
        stage.complete()?;
        files::remove_dir(&checkpoints)?;
        self.tell(&parts, &device, job)
    }

    /// Prints how often the judges are right about personas that none of them has seen.
    fn tell(&self, parts: &PretrainParts, device: &Device, job: &Job) -> Result<()> {
        if !parts.makes(Part::Judges) {
            return match self.format {
                Format::Json => print_json(&json!({"gemma": self.output.join("gemma")})),
                Format::Text => print(&format!(
                    "models in {}\nnext: {}",
                    self.output.display(),
                    self.next(parts)
                )),
            };
        }
        // From a seed that no training uses.
        let seed = self.seed + 77;
        let evaluate =
            |folder: &Path| evaluate_corpus_judges(&parts.from, folder, seed, device, job);
        let [relevance, nli] = evaluate(&self.output)?;
        let [grading_relevance, grading_nli] = evaluate(&self.output.join("evaluation"))?;
        match self.format {
            Format::Json => print_json(&json!({
                "relevance": relevance, "nli": nli,
                "evaluation/relevance": grading_relevance, "evaluation/nli": grading_nli,
            })),
            Format::Text => print(&format!(
                "models in {}\nheld-out personas, statement found first and reply judged right: relevance {relevance:.3}, nli {nli:.3}, \
                 evaluation/relevance {grading_relevance:.3}, evaluation/nli {grading_nli:.3}\n\
                 next: {}",
                self.output.display(),
                self.next(parts)
            )),
        }
    }
}
