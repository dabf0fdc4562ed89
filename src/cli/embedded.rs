//! The embedded default: what a run starts from without other models and pages.

use std::path::Path;

use crate::Result;
use crate::pipeline::{Judges, Page, Sources, find_page};
use crate::tiny::{Embedded, Offline, pages};

/// The page of a character: in the folder `wiki` below the current one, or inside the program.
pub(crate) fn page(character: &str) -> Result<Page> {
    let found = find_page(Path::new("wiki"), character, &mut pages::characters());
    match (found, pages::page(character)) {
        (Ok(path), _) => Page::read(&path),
        (Err(_), Some(text)) => Ok(Page::new(&format!("{character}.txt"), text)),
        (Err(error), None) => Err(error),
    }
}

/// What a run about a page starts from, unless its settings name something else.
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
