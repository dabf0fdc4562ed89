//! Which judges a run uses.

use std::path::PathBuf;

/// The two judges' folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discriminators {
    /// Whether a statement matters to a query.
    pub relevance: PathBuf,
    /// Whether a reply follows from a statement.
    pub nli: PathBuf,
}
