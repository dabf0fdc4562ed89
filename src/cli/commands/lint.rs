//! `apc lint`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::embedded;
use crate::cli::output::{Format, print, print_json};
use crate::persona::Statement;
use crate::pipeline::{Page, check_name};
use crate::teacher::{Teacher, Unread};
use crate::tiny::Offline;
use crate::{Error, Result};

#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    /// The character's name; without it, the page's name without its ending.
    #[arg(long, value_name = "NAME", required_unless_present = "wiki")]
    character: Option<String>,
    /// The page: text, or a character card [default: wiki/NAME.txt or the embedded page].
    #[arg(long, value_name = "PATH")]
    wiki: Option<PathBuf>,
    /// How the statements are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What the built-in rules read of a page.
#[derive(Serialize)]
struct Linted {
    character: String,
    /// The sentences, fields, items and rows of the page.
    sentences: usize,
    statements: Vec<Statement>,
    unread: Vec<Unread>,
}

impl LintArgs {
    pub(crate) fn run(&self) -> Result<()> {
        let character = self.name()?;
        check_name(&character)?;
        let page = match &self.wiki {
            Some(path) => Page::read(path, &character)?,
            None => embedded::page(&character)?,
        };
        let statements = Offline.statements(&character, page.text())?;
        let (unread, sentences) = Offline.unread(&character, page.text()).unwrap_or_default();
        let linted = Linted {
            character,
            sentences,
            statements,
            unread,
        };
        match self.format {
            Format::Json => print_json(&linted),
            Format::Text => print(&text(&linted)),
        }
    }

    fn name(&self) -> Result<String> {
        let of_page = || -> Option<String> {
            let stem = Path::new(self.wiki.as_ref()?).file_stem()?.to_str()?;
            Some(stem.to_string())
        };
        self.character.clone().or_else(of_page).ok_or_else(|| {
            Error::Usage(
                "whom the page is about cannot be told from its name; say --character".to_string(),
            )
        })
    }
}

/// What the built-in rules find wrong with a statement, if anything.
pub(crate) fn fault(character: &str, statement: &str) -> Option<String> {
    let (unread, _) = Offline.unread(character, statement)?;
    if let Some(unread) = unread.into_iter().next() {
        return Some(unread.reason);
    }
    let read = Offline.statements(character, statement).ok()?;
    match read.len() {
        1 => None,
        0 => Some(format!("says nothing of {character}")),
        several => Some(format!(
            "says {several} things; each is better a statement of its own"
        )),
    }
}

/// The statements, what gave none with the reason, and how many there are.
fn text(linted: &Linted) -> String {
    let mut lines: Vec<String> = Vec::new();
    let statements = linted.statements.iter();
    lines.extend(statements.map(|statement| statement.statement.clone()));
    if !linted.unread.is_empty() {
        lines.push(String::new());
        lines.push("no statement:".to_string());
    }
    let unread = linted.unread.iter();
    lines.extend(unread.map(|unread| format!("  {} ({})", unread.text, unread.reason)));
    lines.push(String::new());
    lines.push(format!(
        "{}: {} statements of {} sentences, {} gave none",
        linted.character,
        linted.statements.len(),
        linted.sentences,
        linted.unread.len()
    ));
    lines.join("\n")
}
