//! The embedded default: the models and pages that a run uses unless others are named.

use std::path::Path;

use crate::Result;
use crate::pipeline::{Judges, Page, Sources, find_page};
use crate::tiny::{Embedded, Offline, pages};

/// Finds a character's page: in `wiki` in the current folder, or inside the program.
pub(crate) fn page(character: &str) -> Result<Page> {
    let found = find_page(Path::new("wiki"), character, &mut pages::characters());
    match (found, pages::page(character)) {
        (Ok(path), _) => Page::read(&path, character),
        (Err(_), Some(text)) => Ok(Page::new(&format!("{character}.txt"), text)),
        (Err(error), None) => Err(error),
    }
}

/// The embedded sources of a run about a page, used unless its settings name others.
pub(crate) fn sources(page: Option<Page>) -> Sources {
    let judges = |relevance: Embedded, nli: Embedded| Judges {
        relevance: relevance.checkpoint().into(),
        nli: nli.checkpoint().into(),
    };
    Sources {
        page,
        teacher: Box::new(Offline),
        judges: judges(Embedded::Relevance, Embedded::Nli),
        graders: judges(Embedded::GradingRelevance, Embedded::GradingNli),
        base: Embedded::Gemma.checkpoint(),
    }
}
