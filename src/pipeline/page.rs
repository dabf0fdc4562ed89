//! The page about a character.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::Checkpoint;
use crate::persona::Statement;
use crate::teacher::imported::Imported;
use crate::{Error, Result, files};

/// A page that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    path: PathBuf,
    text: String,
    hash: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    /// It could be read once.
    Pipe,
    /// It lies in no file.
    Inside,
}

impl Page {
    /// What records call the place of a page that lies in no file.
    pub(super) const INSIDE: &str = "embedded";

    /// Reads a page, which must be UTF-8 and say something.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(path, files::read_text(path)?)
    }

    /// The page that was read from a file or a pipe; it must say something.
    pub fn of(path: &Path, text: String) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::invalid(
                path,
                "the page is empty; write some sentences about the character",
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
            // Of what was read: a pipe can be read once.
            hash: files::checksum_of(&text),
            text,
            kind: if path.is_file() {
                Kind::File
            } else {
                Kind::Pipe
            },
        })
    }

    /// A page that lies in no file, under a name for it.
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(name),
            hash: files::checksum_of(text),
            text: text.to_string(),
            kind: Kind::Inside,
        }
    }

    /// The statements that were imported to a folder, which stand for the page they were made from.
    pub(super) fn imported(folder: &Path) -> Result<Self> {
        let path = Imported::statements_path(folder)?;
        let statements: Vec<Statement> = files::read_jsonl(&path)?;
        let texts: Vec<String> = statements
            .into_iter()
            .map(|known| known.statement)
            .collect();
        Ok(Self {
            hash: files::checksum(&path)?,
            text: texts.join("\n"),
            path,
            kind: Kind::File,
        })
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its file, by which records tell of it.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Returns where records say that it lies: the path of its file from the folder `from`, or `embedded`; nothing for a
    /// pipe.
    pub(super) fn reference(&self, from: &Path) -> Option<String> {
        match self.kind {
            Kind::File => Some(Checkpoint::folder(&self.path).reference(from)),
            Kind::Pipe => None,
            Kind::Inside => Some(Self::INSIDE.to_string()),
        }
    }

    /// The SHA-256 of its text.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// The page of a character in a folder: `{character}.txt`, or under the original's names.
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
        return format!("if {path} is the page, give it the name {wanted}");
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
        let reason = format!("{character:?} cannot be the name of a folder");
        return Err(Error::setting("character", reason));
    }
    Ok(())
}

/// The characters that have a page.
fn known_characters(folder: &Path) -> Vec<String> {
    let pages = files_of(folder);
    let name = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".txt")?;
        Some(without_affix(name).to_string())
    };
    pages.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in ["Odile.md", "Iris", "Tony Stark.txt"] {
            fs::write(folder.path().join(name), "A page.").unwrap();
        }
        fs::create_dir(folder.path().join("Folder.txt")).unwrap();
        for (name, advice) in [
            ("Odile", "Odile.md is the page, give it the name"),
            ("odile", "Odile.md is the page, give it the name"),
            ("Iris", "Iris is the page, give it the name"),
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
