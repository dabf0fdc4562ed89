//! Where statements come from: `train`'s files, the page, or a file of the user's.

use std::path::Path;

use serde::Deserialize;

use crate::cli::embedded;
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
        return Err(Error::Usage("a query or reply is empty".into()));
    }
    Ok(())
}

/// Reads the statements that `train` made, or extracts those of the character's page.
pub(crate) fn own_statements(output: &Path, character: &str) -> Result<Vec<String>> {
    let path = output.join("data").join(character).join("statements.jsonl");
    if path.is_file() {
        return read_statements(&path);
    }
    let page = embedded::page(character)?;
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
pub(crate) fn read_statements(path: &Path) -> Result<Vec<String>> {
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
