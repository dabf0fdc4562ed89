//! Where a character's page lies.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The endings of pages, the most usual first: text, and what cards are kept in.
const ENDINGS: [&str; 6] = ["txt", "md", "json", "png", "yaml", "yml"];

/// Finds the page of a character in a folder: `{character}.txt`, `.md`, or a card's `.json`, `.png` or `.yaml`; or under the
/// original's names, `wiki_{character}` and `{character}_wiki`.
///
/// # Errors
///
/// No such page; `others` are characters whose pages are elsewhere, and are told with those of the folder.
pub fn find_page(
    folder: &Path,
    character: &str,
    others: &mut dyn Iterator<Item = &'static str>,
) -> Result<PathBuf> {
    check_name(character)?;
    let stems = [
        character.to_string(),
        format!("wiki_{character}"),
        format!("{character}_wiki"),
    ];
    let found = ENDINGS.iter().find_map(|ending| {
        let mut paths = stems
            .iter()
            .map(|stem| folder.join(format!("{stem}.{ending}")));
        paths.find(|path| path.is_file())
    });
    if let Some(path) = found {
        return Ok(path);
    }
    let mut known = known_characters(folder);
    known.extend(others.map(str::to_string));
    known.sort();
    known.dedup();
    let known = if known.is_empty() {
        String::new()
    } else {
        format!("; there are pages about {}", known.join(", "))
    };
    Err(Error::setting(
        "character",
        format!(
            "is {character}, but there is no page about {character}: write one to {}{known}",
            folder.join(format!("{character}.txt")).display()
        ),
    ))
}

/// A character's name is also the name of folders, of which models/tiny is taken.
///
/// # Errors
///
/// A name that is empty, that is a path, or that is taken.
pub fn check_name(character: &str) -> Result<()> {
    let bad = character.trim().is_empty()
        || character == "tiny"
        || character.starts_with('.')
        || character
            .chars()
            .any(|c| matches!(c, '/' | '\\' | ':') || c.is_control());
    if bad {
        let reason = format!("{character:?} cannot be the name of a folder");
        return Err(Error::setting("character", reason));
    }
    Ok(())
}

/// The characters that have a page.
fn known_characters(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let character = |name: &str| {
        let (stem, ending) = name.rsplit_once('.')?;
        let stem = stem.trim_start_matches("wiki_").trim_end_matches("_wiki");
        (ENDINGS.contains(&ending) && check_name(stem).is_ok() && stem != "README")
            .then(|| stem.to_string())
    };
    entries
        .flatten()
        .filter_map(|entry| character(entry.file_name().to_str()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_as_text_markdown_or_a_card() {
        let folder = tempfile::tempdir().unwrap();
        let find = |name: &str| find_page(folder.path(), name, &mut std::iter::empty());
        for (file, name) in [
            ("Mira.md", "Mira"),
            ("wiki_Odile.txt", "Odile"),
            ("Bram.png", "Bram"),
            ("Sela_wiki.json", "Sela"),
        ] {
            let path = folder.path().join(file);
            fs::write(&path, "x").unwrap();
            assert_eq!(find(name).unwrap(), path);
        }
        fs::write(folder.path().join("Mira.txt"), "x").unwrap();
        assert_eq!(find("Mira").unwrap(), folder.path().join("Mira.txt"));
        fs::write(folder.path().join("README.md"), "x").unwrap();
        let error = find("Nobody").unwrap_err().to_string();
        let known = "there are pages about Bram, Mira, Odile, Sela";
        assert!(error.ends_with(known), "{error}");
    }
}
