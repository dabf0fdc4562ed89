//! Where statements come from: `train`'s files, the page, or a file of the user's.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::{embedded, input};
use crate::pipeline::{Page, alike};
use crate::progress::Job;
use crate::teacher::Teacher;
use crate::tiny::Offline;
use crate::{Error, Result, files};

/// The longest query or reply that is accepted, in bytes; judges read far less.
pub(crate) const MAX_TEXT: usize = 64 << 10;

/// Fails if a text is too long for any judge.
pub(crate) fn check_length(text: &str) -> Result<()> {
    if text.len() > MAX_TEXT {
        return Err(Error::Usage(format!(
            "a text of {} bytes is too long; a query or reply may have {MAX_TEXT}",
            text.len()
        )));
    }
    if text.trim().is_empty() {
        return Err(Error::Usage(
            "a query or reply is empty; both need some text".into(),
        ));
    }
    Ok(())
}

/// Whether `train` has made statements of a character.
pub(crate) fn has_statements(output: &Path, character: &str) -> bool {
    statements_path(output, character).is_file()
}

fn statements_path(output: &Path, character: &str) -> PathBuf {
    output.join("data").join(character).join("statements.jsonl")
}

/// The page of a character of whom `train` has made no statements.
pub(crate) fn own_page(output: &Path, character: &str) -> Result<Page> {
    embedded::page(character).map_err(|error| {
        made_alike(output, character).map_or(error, |name| {
            let output = output.display();
            let reason = format!("is {character}; in {output} there is {name}");
            Error::setting("character", reason)
        })
    })
}

/// Reads the statements that `train` made, or extracts those of the character's page.
pub(crate) fn own_statements(output: &Path, character: &str, job: &Job) -> Result<Vec<String>> {
    if has_statements(output, character) {
        return read_statements(&statements_path(output, character), job);
    }
    let page = own_page(output, character)?;
    let statements = Offline.statements(character, page.text())?;
    let statements: Vec<String> = statements
        .into_iter()
        .map(|known| known.statement)
        .collect();
    if statements.is_empty() {
        return Err(Error::invalid(
            page.path(),
            format!("no statements about {character} were found in it"),
        ));
    }
    Ok(statements)
}

/// A character in `output` whose name is the same but for capitals, spaces and punctuation.
fn made_alike(output: &Path, character: &str) -> Option<String> {
    let entries = std::fs::read_dir(output.join("data")).ok()?.flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| alike(name, character))
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

/// Reads statements from JSON Lines, a JSON array, or plain lines.
pub(crate) fn read_statements(path: &Path, job: &Job) -> Result<Vec<String>> {
    let text = input::read(path, job)?;
    let statements: Vec<String> = if text.trim_start().starts_with('[') {
        let entries: Vec<Entry> = serde_json::from_str(&text)
            .map_err(|error| Error::invalid(path, format!("is no JSON array: {error}")))?;
        entries.into_iter().map(Entry::text).collect()
    } else if text.trim_start().starts_with('{') {
        files::parse_jsonl::<Entry>(path, &text)?
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
                read_statements(&path, &Job::default()).unwrap(),
                ["A sings.", "A swims."],
                "{text}"
            );
        }
        std::fs::write(&path, "{\"statement\": \"A sings.\"}\n{\"statement\":").unwrap();
        assert!(
            read_statements(&path, &Job::default())
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }
}
