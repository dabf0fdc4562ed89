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
    Err(Error::setting(
        "character",
        format!(
            "is {character}, but there is no page about {character}: {}",
            advice(folder, character, &known)
        ),
    ))
}

/// What to do about a page that is not found: rename one, ask for one that is written otherwise, or write one.
fn advice(folder: &Path, character: &str, known: &[String]) -> String {
    let wanted = folder.join(format!("{character}.txt"));
    let wanted = wanted.display();
    if let Some(meant) = known.iter().find(|known| alike(known, character)) {
        return format!("there is one about {meant}, so say `character` {meant}");
    }
    if let Some(path) =
        files_of(folder).find(|path| names_of(path).any(|name| alike(name, character)))
    {
        let path = path.display();
        return format!("if {path} is the page, rename it to {wanted}");
    }
    /// More names tell nobody more.
    const SHOWN: usize = 12;
    let mut names = known[..known.len().min(SHOWN)].join(", ");
    if known.len() > SHOWN {
        names = format!("{names} and {} others", known.len() - SHOWN);
    }
    match known.is_empty() {
        true => format!("write one to {wanted}"),
        false => format!("write one to {wanted}; there are pages about {names}"),
    }
}

/// Whether two names are the same but for capitals, spaces and punctuation.
pub fn alike(a: &str, b: &str) -> bool {
    let plain = |name: &str| -> String {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    !plain(a).is_empty() && plain(a) == plain(b)
}

/// The names that a file stands under: with its ending or without, and without what the original adds.
fn names_of(path: &Path) -> impl Iterator<Item = &str> {
    let names = [path.file_name(), path.file_stem()].into_iter().flatten();
    names.filter_map(|name| name.to_str()).map(without_affix)
}

/// A page's name without what the original puts before or behind it.
fn without_affix(name: &str) -> &str {
    let name = name.strip_prefix("wiki_").unwrap_or(name);
    name.strip_suffix("_wiki").unwrap_or(name)
}

/// The files in a folder, in their order.
fn files_of(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.into_iter()
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
        let reason = format!(
            "is {character:?}, which cannot be a folder name: use a name without / \\ : that does not begin with a dot and is not tiny"
        );
        return Err(Error::setting("character", reason));
    }
    Ok(())
}

/// The characters that have a page.
fn known_characters(folder: &Path) -> Vec<String> {
    let name = |path: PathBuf| {
        let (stem, ending) = path.file_name()?.to_str()?.rsplit_once('.')?;
        let name = without_affix(stem);
        let is_page = ENDINGS.contains(&ending) && check_name(name).is_ok() && stem != "README";
        is_page.then(|| name.to_string())
    };
    files_of(folder).filter_map(name).collect()
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

    #[test]
    fn a_page_that_is_not_found_is_looked_for_under_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let found = |name: &str| {
            let others = &mut ["Alice"].into_iter();
            find_page(folder.path(), name, others).map_err(|error| error.to_string())
        };
        let none = found("Mira").unwrap_err();
        assert!(
            none.contains("write one to") && none.contains("about Alice"),
            "{none}"
        );
        for name in ["Odile.rtf", "Iris", "Tony Stark.txt"] {
            fs::write(folder.path().join(name), "A page.").unwrap();
        }
        fs::create_dir(folder.path().join("Folder.txt")).unwrap();
        for (name, advice) in [
            ("Odile", "Odile.rtf is the page, rename it to"),
            ("odile", "Odile.rtf is the page, rename it to"),
            ("Iris", "Iris is the page, rename it to"),
            ("tony_stark", "so say `character` Tony Stark"),
            ("ALICE", "so say `character` Alice"),
        ] {
            let told = found(name).unwrap_err();
            assert!(told.contains(advice), "{name}: {told}");
        }
        let told = found("Folder").unwrap_err();
        assert!(
            told.ends_with("there are pages about Alice, Tony Stark"),
            "{told}"
        );
        assert!(found("Tony Stark").is_ok());
    }
}
