//! `apc score`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::judges::JudgeArgs;
use crate::cli::commands::reply_file::ReplyFile;
use crate::cli::embedded;
use crate::cli::table::score_table;
use crate::cli::{Format, print, print_json};
use crate::persona::{Persona, Score};
use crate::progress::Job;
use crate::tiny::english;
use crate::{Error, Result, files};

/// The longest query or reply that is worth reading, in bytes; the judges read far less.
pub(crate) const MAX_TEXT: usize = 64 << 10;

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
    /// Score a file of replies: JSON Lines with query and response, and where they differ character or statements. The
    /// scores go to --output, a line each; a run that was stopped goes on where it was.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["query", "response", "verbose"], requires = "output")]
    input: Option<PathBuf>,
    #[command(flatten)]
    judges: JudgeArgs,
    /// Show what the judges read of the first statement and the first reply.
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
            Some(path) => read_statements(path)?,
            None => own_statements(output, character)?,
        };
        let persona = Persona::new(character, statements);
        let scorer = self.judges.load(output, &persona, &devices, job)?;
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
                    print(&format!(
                        "{}: {response}\n{}\n",
                        character,
                        score_table(score)
                    ))?;
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
            .map(read_statements)
            .transpose()?;
        let devices = self.device.devices(job)?;
        let statements = |character: &str| match &given {
            Some(statements) => Ok(statements.clone()),
            None => own_statements(&self.characters, character),
        };
        let load = |persona: &Persona| self.judges.load(&self.characters, persona, &devices, job);
        let scored = ReplyFile {
            input,
            output,
            character: self.character.as_deref(),
        }
        .score(&statements, &load, job)?;
        match self.format {
            Format::Json => print_json(&scored),
            Format::Text => print(&scored.to_string()),
        }
    }
}

/// An error for a text that no judge could read.
pub(crate) fn check_length(text: &str) -> Result<()> {
    if text.len() > MAX_TEXT {
        return Err(Error::Usage(format!(
            "a text of {} bytes is too long; a query or reply may have {MAX_TEXT}",
            text.len()
        )));
    }
    if text.trim().is_empty() {
        return Err(Error::Usage("a query or reply is empty".into()));
    }
    Ok(())
}

/// The statements that `train` made, or those of the character's page.
pub(crate) fn own_statements(output: &Path, character: &str) -> Result<Vec<String>> {
    let path = output.join("data").join(character).join("statements.jsonl");
    if path.is_file() {
        return read_statements(&path);
    }
    let page = embedded::page(character)?;
    let statements = english::statements(character, page.text());
    if statements.is_empty() {
        return Err(Error::invalid(
            page.path(),
            format!("no statements about {character} were found in it"),
        ));
    }
    Ok(statements)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Record { statement: String },
}

impl Entry {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Record { statement: text } => text,
        }
    }
}

/// Reads statements from JSON Lines, a JSON array, or one a line.
fn read_statements(path: &Path) -> Result<Vec<String>> {
    let text = files::read_text(path)?;
    let statements: Vec<String> = if text.trim_start().starts_with('[') {
        let entries: Vec<Entry> = serde_json::from_str(&text)
            .map_err(|error| Error::invalid(path, format!("is no JSON array: {error}")))?;
        entries.into_iter().map(Entry::text).collect()
    } else if text.trim_start().starts_with('{') {
        files::read_jsonl::<Entry>(path)?
            .into_iter()
            .map(Entry::text)
            .collect()
    } else {
        text.lines().map(str::to_string).collect()
    };
    let statements: Vec<String> = statements
        .iter()
        .map(|line| line.trim().to_string())
        .filter(|line| !line.is_empty())
        .collect();
    if statements.is_empty() {
        return Err(Error::invalid(path, "has no statements"));
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_all_three_kinds_of_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statements");
        for text in [
            "{\"statement\": \"A sings.\", \"more\": 1}\n\n{\"statement\": \"A swims.\"}\n",
            "[\"A sings.\", \"A swims.\"]",
            "[{\"statement\": \"A sings.\"}, {\"statement\": \"A swims.\"}]",
            "A sings.\n\n  A swims.\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                read_statements(&path).unwrap(),
                ["A sings.", "A swims."],
                "{text}"
            );
        }
        std::fs::write(&path, "{\"statement\": \"A sings.\"}\n{\"statement\":").unwrap();
        assert!(
            read_statements(&path)
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }
}
