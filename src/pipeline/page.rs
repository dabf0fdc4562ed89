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
    let known = if known.is_empty() {
        String::new()
    } else {
        format!("; there are pages about {}", known.join(", "))
    };
    Err(Error::setting(
        "character",
        format!(
            "is {character}, but there is no page about {character}: write one to {}{known}",
            folder.join(&names[0]).display()
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
