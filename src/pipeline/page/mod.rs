//! The page about a character: a text, or a character card.
//!
//! [`Page::read`] knows what a file is by its content: `formats` tells text, cards and pictures from what is refused, `card` writes the
//! parts of a card as a page, and `macros` puts names in place of `{{char}}` and the like, also in plain text.

mod card;
mod find;
mod formats;
mod macros;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};

pub use find::{alike, check_name, find_page};

use crate::files::Checkpoint;
use crate::persona::{Opening, Statement};
use crate::teacher::imported::Imported;
use crate::{Error, Result, files};

/// A page that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    path: PathBuf,
    text: String,
    hash: String,
    opening: Opening,
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

    /// Reads the page about a character: UTF-8 text that says something, or a character card as JSON, YAML or PNG.
    ///
    /// `{{char}}` and what else cards have in place of names is written out.
    ///
    /// # Errors
    ///
    /// Any other format, which is named; a card without a description; an empty page.
    pub fn read(path: &Path, character: &str) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        Self::of(path, bytes, character)
    }

    /// The page that was read as bytes from a file or a pipe; see [`Page::read`].
    pub fn of(path: &Path, bytes: Vec<u8>, character: &str) -> Result<Self> {
        let (text, opening) = formats::read(path, bytes, character)?;
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
            opening,
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
            opening: Opening::default(),
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
            opening: Opening::default(),
            path,
            kind: Kind::File,
        })
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How a conversation begins by it, if it is a card.
    pub fn opening(&self) -> &Opening {
        &self.opening
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
