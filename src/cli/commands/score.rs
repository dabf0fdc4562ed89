//! `apc score`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::judges::JudgeArgs;
use crate::cli::args::persona::{check_length, own_statements, read_statements};
use crate::cli::commands::reply_file::{ReplyFile, ScoredBy};
use crate::cli::output::{Format, print, print_json};
use crate::cli::table::print_score;
use crate::persona::{Persona, Score};
use crate::pipeline::check_name;
use crate::progress::Job;
use crate::{Error, Result};

#[derive(Args, Debug)]
pub(crate) struct ScoreArgs {
    /// Whose statements; a line of --input may name another.
    #[arg(long, value_name = "NAME", required_unless_present = "input")]
    character: Option<String>,
    /// Statements from a file: JSON Lines with a statement field, a JSON array, or one statement a line
    /// [default: the character's own].
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
    /// The question that was asked.
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        required_unless_present = "input"
    )]
    query: Option<String>,
    /// A reply to score; give it several times to compare replies.
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        required_unless_present = "input"
    )]
    response: Vec<String>,
    /// Score a file of replies: JSON Lines with query and response, and optionally character and statements. Scores are
    /// written to --output, one line per reply, with a record of judges and settings beside it; a stopped run resumes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["query", "response", "verbose"], requires = "output")]
    input: Option<PathBuf>,
    /// Score all of --input again, in place of the scores that are in --output.
    #[arg(long, requires = "input")]
    force: bool,
    #[command(flatten)]
    judges: JudgeArgs,
    /// Print the judges' input for the first statement and the first reply.
    #[arg(long)]
    verbose: bool,
    /// Where data/NAME and models/NAME are [default: the current folder]; with --input the file of the scores.
    #[arg(long, value_name = "DIR|FILE")]
    output: Option<PathBuf>,
    /// Where data/NAME and models/NAME are, with --input.
    #[arg(long, value_name = "DIR", requires = "input", default_value = ".")]
    characters: PathBuf,
    /// How the scores are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Serialize)]
struct Scores<'a> {
    query: &'a str,
    responses: Vec<ScoredResponse<'a>>,
}

#[derive(Serialize)]
struct ScoredResponse<'a> {
    response: &'a str,
    #[serde(flatten)]
    score: Score,
}

impl ScoreArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        self.character.as_deref().map_or(Ok(()), check_name)?;
        if let Some(input) = &self.input {
            return self.score_file(input, job);
        }
        let (Some(character), Some(query)) = (&self.character, &self.query) else {
            return Err(Error::Usage("--character and --query are needed".into()));
        };
        for text in self.response.iter().chain([query]) {
            check_length(text)?;
        }
        let devices = self.device.devices(job)?;
        let output = self.output.as_deref().unwrap_or(Path::new("."));
        let statements = match &self.statements {
            Some(path) => read_statements(path, job)?,
            None => own_statements(output, character, job)?,
        };
        let persona = Persona::new(character, statements);
        let judges = self.judges.choose(output, &persona, job)?;
        let known = persona.statements.join("\n");
        let texts = self.response.iter().chain([query, &known]);
        judges.tell_language(texts.map(String::as_str), job);
        let scorer = self.judges.load_chosen(&judges, &devices, job)?;
        if self.verbose {
            let mut sample = persona.inputs(query, &self.response[0]);
            let sample = sample
                .next()
                .expect("a persona read from a file has statements");
            for (name, judge) in [("relevance", &scorer.relevance), ("NLI", &scorer.nli)] {
                let read = judge.text(&sample);
                let read = read
                    .as_deref()
                    .unwrap_or("(the prompts of a chat model's tasks)");
                job.progress
                    .note(&format!("the {name} judge reads:\n{read}\n"));
            }
        }
        let texts: Vec<&str> = self.response.iter().map(String::as_str).collect();
        let scores = scorer.score_all(&persona, query, &texts, job)?;
        let responses: Vec<ScoredResponse<'_>> = self
            .response
            .iter()
            .zip(scores)
            .map(|(response, score)| ScoredResponse { response, score })
            .collect();
        match self.format {
            Format::Json => print_json(&Scores { query, responses }),
            Format::Text => {
                for ScoredResponse { response, score } in &responses {
                    print_score(&format!("{character}: {response}"), score)?;
                    print("")?;
                }
                Ok(())
            }
        }
    }

    /// Scores the replies of a file.
    fn score_file(&self, input: &Path, job: &Job) -> Result<()> {
        let Some(output) = &self.output else {
            return Err(Error::Usage("--input needs --output FILE".into()));
        };
        let given = self
            .statements
            .as_deref()
            .map(|path| read_statements(path, job))
            .transpose()?;
        let devices = self.device.devices(job)?;
        let statements = |character: &str| match &given {
            Some(statements) => Ok(statements.clone()),
            None => own_statements(&self.characters, character, job),
        };
        let scored = ReplyFile {
            input,
            output,
            character: self.character.as_deref(),
            force: self.force,
        }
        .score(
            &ScoredBy {
                statements: &statements,
                choose: &|persona| {
                    let judges = self.judges.choose(&self.characters, persona, job)?;
                    judges.tell_language([persona.statements.join("\n").as_str()], job);
                    Ok(judges)
                },
                load: &|judge| self.judges.load_one(judge, &devices, job),
            },
            job,
        )?;
        match self.format {
            Format::Json => print_json(&scored),
            Format::Text => print(&scored.to_string()),
        }
    }
}
