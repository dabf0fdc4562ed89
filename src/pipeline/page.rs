//! The page about a character.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result, files};

/// The page of a character in a folder: `{character}.txt`, or under the original's names.
pub fn find_page(folder: &Path, character: &str) -> Result<PathBuf> {
    check_name(character)?;
    let names = [
        format!("{character}.txt"),
        format!("wiki_{character}.txt"),
        format!("{character}_wiki.txt"),
    ];
    if let Some(path) = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
    {
        return Ok(path);
    }
    let known = known_characters(folder);
    let known = if known.is_empty() {
        String::new()
    } else {
        format!("; there are pages about {}", known.join(", "))
    };
    Err(Error::Usage(format!(
        "there is no page about {character}: write one to {}, or name one with --wiki PATH{known}",
        folder.join(&names[0]).display()
    )))
}

/// A character's name is also the name of folders, of which models/tiny is taken.
pub(crate) fn check_name(character: &str) -> Result<()> {
    let bad = character.trim().is_empty()
        || character == "tiny"
        || character.starts_with('.')
        || character
            .chars()
            .any(|c| matches!(c, '/' | '\\' | ':') || c.is_control());
    if bad {
        return Err(Error::Usage(format!(
            "--character {character:?} cannot be the name of a folder"
        )));
    }
    Ok(())
}

/// The characters that have a page.
fn known_characters(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".txt")?
                    .to_string(),
            )
        })
        .map(|name| {
            name.trim_start_matches("wiki_")
                .trim_end_matches("_wiki")
                .to_string()
        })
        .collect();
    names.sort();
    names
}

/// Reads a page, which must be UTF-8 and say something.
pub fn read_page(path: &Path) -> Result<String> {
    let page = files::read_text(path)?;
    if page.trim().is_empty() {
        return Err(Error::invalid(
            path,
            "the page is empty; write some sentences about the character",
        ));
    }
    Ok(page)
}
