//! `apc pretrain`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::args::device::DeviceArgs;
use crate::cli::next::command;
use crate::cli::output::{Format, print, print_json};
use crate::pipeline::{Lock, Output, Stage, StageSpec};
use crate::progress::Job;
use crate::tiny::pretrain::{
    CorpusJudges, Part, Pretrain, PretrainParts, corpus_identity, evaluate_corpus_judges,
    evaluate_judges, pretrain,
};
use crate::{Error, Result, files};

/// Invented examples by which judges are measured.
const HELD_OUT: usize = 3000;

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
    /// Texts that each NLI judge learns from.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().nli_examples)]
    nli_examples: usize,
    /// Texts that each relevance judge learns from.
    #[arg(long, value_name = "N", default_value_t = Pretrain::new().relevance_examples)]
    relevance_examples: usize,
    /// What is made, if not all.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// A BERT as Hugging Face has it, such as all-MiniLM-L6-v2, of which the judges are made, and from whose words Gemma's
    /// embeddings begin; every other layer stays.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["nli_examples", "relevance_examples"])]
    base: Option<PathBuf>,
    /// Personas from which Gemma learns, and judges made of --base [default: models/corpus].
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Token ids that are kept of the vocabulary of --base.
    #[arg(long, value_name = "N", default_value_t = CorpusJudges::VOCAB_SIZE, requires = "base")]
    judge_vocab_size: usize,
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

    fn parts(&self) -> Result<PretrainParts> {
        let only_judges = self.only == Some(Only::Judges);
        if only_judges && self.corpus.is_some() && self.base.is_none() {
            let reason =
                "--corpus is for Gemma and for judges of an encoder; name the encoder with --base";
            return Err(Error::Usage(reason.into()));
        }
        let corpus = self.corpus.clone();
        let corpus = corpus.unwrap_or_else(|| PathBuf::from("models/corpus"));
        Ok(PretrainParts {
            only: self.only.map(|only| match only {
                Only::Judges => Part::Judges,
                Only::Gemma => Part::Gemma,
            }),
            judges: self.base.clone().map(|base| CorpusJudges {
                base,
                corpus: corpus.clone(),
                vocab_size: self.judge_vocab_size,
            }),
            corpus,
        })
    }

    /// What is made, with the settings that decide how.
    fn spec(
        &self,
        config: &Pretrain,
        parts: &PretrainParts,
        record: &Path,
        made: &[PathBuf],
    ) -> Result<StageSpec> {
        let mut spec = StageSpec::new("pretrain", record).with_settings(json!(config));
        if let Some(judges) = &parts.judges {
            spec = spec.with_settings(judges.identity()?);
        } else if parts.makes(Part::Gemma) {
            spec = spec.with_settings(json!({"corpus": corpus_identity(&parts.corpus)?}));
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
            .with_language_examples(self.language_examples)
            .with_nli_examples(self.nli_examples)
            .with_relevance_examples(self.relevance_examples);
        let parts = self.parts()?;
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
        let known = record.is_file();
        let mut names = Vec::new();
        if parts.makes(Part::Gemma) {
            names.push("gemma");
        }
        if parts.makes(Part::Judges) {
            names.extend(["relevance", "nli", "evaluation"]);
        }
        let made: Vec<PathBuf> = names.iter().map(|name| self.output.join(name)).collect();
        let spec = self
            .spec(&config, &parts, &record, &made)?
            .writes(Output::work(&checkpoints));
        if !self.force {
            self.check_same(known, &spec.changed_settings()?, &made)?;
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
        let evaluate = |folder: &Path| match &parts.judges {
            Some(from) => evaluate_corpus_judges(from, folder, seed, device, job),
            None => evaluate_judges(folder, seed, HELD_OUT, device, job),
        };
        let [relevance, nli] = evaluate(&self.output)?;
        let [grading_relevance, grading_nli] = evaluate(&self.output.join("evaluation"))?;
        let examples = match &parts.judges {
            Some(_) => "the examples of held-out personas".to_string(),
            None => format!("{HELD_OUT} held-out examples"),
        };
        match self.format {
            Format::Json => print_json(&json!({
                "relevance": relevance, "nli": nli,
                "evaluation/relevance": grading_relevance, "evaluation/nli": grading_nli,
            })),
            Format::Text => print(&format!(
                "models in {}\naccuracy on {examples}: relevance {relevance:.3}, nli {nli:.3}, \
                 evaluation/relevance {grading_relevance:.3}, evaluation/nli {grading_nli:.3}\n\
                 next: {}",
                self.output.display(),
                self.next(parts)
            )),
        }
    }
}
