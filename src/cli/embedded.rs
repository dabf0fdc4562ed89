//! The embedded default: the models and pages that a run uses unless others are named.

use std::path::Path;

use crate::Result;
use crate::persona::AnswerConfig;
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

/// Below this P(relevant) of the embedded judge a statement hardly ever answers, and the embedded Gemma says best that it
/// does not know.
const MIN_RELEVANCE: f64 = 0.4;

/// How relevant a statement must be to be in a prompt.
///
/// - given: what the user asked for
/// - is_embedded: whether both the Gemma and the relevance judge are; the probabilities of others mean something else
pub(crate) fn min_relevance(given: Option<f64>, is_embedded: bool) -> f64 {
    given.unwrap_or(match is_embedded {
        true => MIN_RELEVANCE,
        false => AnswerConfig::new().min_relevance,
    })
}

/// How many statements a prompt has: the embedded Gemma answers from the first one best, others get as many as the paper's.
///
/// - given: what the user asked for
pub(crate) fn rag_top_k(given: Option<usize>, is_embedded: bool) -> usize {
    given.unwrap_or(match is_embedded {
        true => 1,
        false => AnswerConfig::new().rag_top_k,
    })
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
