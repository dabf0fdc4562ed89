//! `apc benchmark`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::judges::JudgeArgs;
use crate::cli::args::prompt::{HistoryArgs, PromptArgs};
use crate::cli::commands::character::CharacterSource;
use crate::cli::output::{Format, print, print_json};
use crate::persona::{AnswerConfig, Answering, Everyday, Share, Understanding};
use crate::pipeline::check_name;
use crate::progress::Job;
use crate::{Error, Result, files};

#[derive(Args, Debug)]
pub(crate) struct BenchmarkArgs {
    /// A folder of personas with pairs and questions, a JSON file each.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where characters of the benchmark's names were trained (data/NAME, models/NAME): asks them the questions instead, and
    /// counts replies that answer, decline or are broken. Judges that are named retrieve; else those of the training do.
    #[arg(long, value_name = "DIR")]
    answers: Option<PathBuf>,
    /// The adapter of the characters, or none for the base model [default: the character's own].
    #[arg(long, value_name = "none|DIR|NAME", requires = "answers")]
    adapter: Option<String>,
    /// The base model of the characters [default: the one that they were trained on].
    #[arg(long, value_name = "DIR|NAME", requires = "answers")]
    model: Option<PathBuf>,
    #[command(flatten)]
    prompt: PromptArgs,
    /// How the shares are printed; json has every reply, too.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    judges: JudgeArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl BenchmarkArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let personas = read(&self.data)?;
        if let Some(output) = &self.answers {
            return self.ask(&personas, output, job);
        }
        if self.prompt.is_given() {
            let reason = "--rag-top-k and --min-relevance say what is in a character's prompt; give --answers, too";
            return Err(Error::Usage(reason.into()));
        }
        let devices = self.device.devices(job)?;
        // No character was trained on these personas, so none has judges of its own.
        let judges = self.judges.choose_for_nobody(job)?;
        let scorer = self.judges.load_chosen(&judges, &devices, job)?;
        let task = job.progress.task("benchmark", personas.len(), "personas");
        let mut found = Understanding::default();
        for everyday in &personas {
            everyday.measure(&scorer, &mut found, job)?;
            task.advance(1);
        }
        drop(task);
        match self.format {
            Format::Json => print_json(&found),
            Format::Text => print(&table(&found)),
        }
    }
}

impl BenchmarkArgs {
    /// Asks all characters that were trained.
    fn ask(&self, personas: &[Everyday], output: &Path, job: &Job) -> Result<()> {
        if !output.is_dir() {
            return Err(Error::invalid(
                output,
                "there is no such folder of trained characters",
            ));
        }
        let trained = |everyday: &&Everyday| {
            let data = output.join("data").join(&everyday.name);
            check_name(&everyday.name).is_ok() && data.join("statements.jsonl").is_file()
        };
        let personas: Vec<&Everyday> = personas.iter().filter(trained).collect();
        if personas.is_empty() {
            let reason = format!(
                "has no character of the personas in {}; train them with `output` {}",
                self.data.display(),
                output.display()
            );
            return Err(Error::invalid(output, reason));
        }
        let task = job.progress.task("benchmark", personas.len(), "characters");
        let quiet = job.quiet();
        let mut found = Answering::default();
        for everyday in personas {
            let source = CharacterSource {
                name: &everyday.name,
                output,
                adapter: self.adapter.as_deref(),
                model: self.model.as_deref(),
                prompt: self.prompt,
                history: HistoryArgs::default(),
                sampling: None,
                precision: None,
                judges: &self.judges,
                device: &self.device,
            };
            let config = AnswerConfig::new().with_temperature(0.0);
            let mut character = source.load(config, &[], &quiet)?;
            found.measure(&mut character, everyday, &quiet)?;
            task.advance(1);
        }
        drop(task);
        match self.format {
            Format::Json => print_json(&found),
            Format::Text => print(&answer_table(&found)),
        }
    }
}

fn read(folder: &Path) -> Result<Vec<Everyday>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::invalid(
            folder,
            "has no persona: no file ends in .json",
        ));
    }
    paths.sort();
    paths.iter().map(|path| files::read_json(path)).collect()
}

/// A share as a line.
fn share(name: &str, share: &Share) -> String {
    let (Share { right, of }, rate) = (share, 100.0 * share.rate());
    format!("{name:<24} {right:>4} of {of:<4} {rate:>5.1} %")
}

/// What characters replied, one share a line.
fn answer_table(found: &Answering) -> String {
    [
        share("answered", &found.answered),
        share("declined", &found.declined),
        share("broken", &found.broken),
    ]
    .join("\n")
}

/// The shares, one a line.
fn table(found: &Understanding) -> String {
    let mut lines = vec![share("right reply first", &found.pairs)];
    for (kind, of) in &found.kinds {
        lines.push(share(&format!("  against {kind}"), of));
    }
    for (style, of) in &found.styles {
        lines.push(share(&format!("  page in {style}"), of));
    }
    lines.push(share("statement found first", &found.first));
    lines.push(share("statement among five", &found.among_five));
    lines.join("\n")
}
