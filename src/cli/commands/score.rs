//! `apc score`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::judges::{JudgeArgs, Judges};
use crate::cli::embedded;
use crate::cli::table::score_table;
use crate::cli::{Format, print, print_json};
use crate::persona::{Score, StatementScore, score};
use crate::pipeline::{Page, find_page};
use crate::progress::Job;
use crate::tiny::english;
use crate::{Error, Result, files};

/// The longest query or reply that is worth reading, in bytes; the judges read far less.
pub(crate) const MAX_TEXT: usize = 64 << 10;

#[derive(Args, Debug)]
pub(crate) struct ScoreArgs {
    /// Whose statements.
    #[arg(long, value_name = "NAME")]
    character: String,
    /// Statements from a file: JSON Lines with a statement field, a JSON array, or one statement a line
    /// [default: the character's own].
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
    /// The question that was asked.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    query: String,
    /// A reply to score; give it several times to compare replies.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, required = true)]
    response: Vec<String>,
    #[command(flatten)]
    judges: JudgeArgs,
    /// Show what the judges read of the first statement and the first reply.
    #[arg(long)]
    verbose: bool,
    /// Where data/NAME and models/NAME are.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
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
        for text in self.response.iter().chain([&self.query]) {
            check_length(text)?;
        }
        let devices = self.device.devices(job)?;
        let statements = match &self.statements {
            Some(path) => read_statements(path)?,
            None => own_statements(&self.output, &self.character)?,
        };
        let judges = self
            .judges
            .load(&self.output, &self.character, &statements, &devices, job)?;
        if self.verbose {
            let sample = [
                &self.character,
                &statements[0],
                &self.query,
                &self.response[0],
            ];
            for (name, judge) in [("relevance", &judges.relevance), ("NLI", &judges.nli)] {
                let read = judge.reads(sample.map(String::as_str));
                job.progress
                    .note(&format!("the {name} judge reads:\n{read}\n"));
            }
        }
        let scores = score_replies(
            &judges,
            &self.character,
            &statements,
            &self.query,
            &self.response,
            job,
        )?;
        let responses: Vec<ScoredResponse<'_>> = self
            .response
            .iter()
            .zip(scores)
            .map(|(response, score)| ScoredResponse { response, score })
            .collect();
        match self.format {
            Format::Json => print_json(&Scores {
                query: &self.query,
                responses,
            }),
            Format::Text => {
                for ScoredResponse { response, score } in &responses {
                    print(&format!(
                        "{}: {response}\n{}\n",
                        self.character,
                        score_table(score)
                    ))?;
                }
                Ok(())
            }
        }
    }
}

/// Scores replies to one query; relevance is judged once for all of them.
pub(crate) fn score_replies(
    judges: &Judges,
    character: &str,
    statements: &[String],
    query: &str,
    responses: &[String],
    job: &Job,
) -> Result<Vec<Score>> {
    let relevance =
        judges
            .relevance
            .relevance(character, statements, &[query.trim().to_string()], job)?;
    let asked: Vec<(&str, &str)> = responses
        .iter()
        .map(|response| (query.trim(), response.trim()))
        .collect();
    let rows = judges.nli.nli(character, statements, &asked, job)?;
    let parts = |row: &Vec<[f64; 3]>| -> Vec<StatementScore> {
        crate::pipeline::statement_scores(statements, &relevance.rows[0], row)
    };
    Ok(rows.iter().map(|row| score(parts(row))).collect())
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
    let page = find_page(&embedded::pages(), character)?;
    let statements = english::statements(character, Page::read(&page)?.text());
    if statements.is_empty() {
        return Err(Error::invalid(
            page,
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
