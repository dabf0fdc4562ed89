//! What the stages ask about: statements, queries, and whose relevance counts.

use std::path::PathBuf;

use crate::persona::{Persona, Query, RelevanceTable};
use crate::pipeline::layout::Layout;

/// What is known of a character, and what is asked.
pub(in crate::pipeline) struct TeacherData {
    pub(in crate::pipeline) statements: Vec<String>,
    /// Queries to train on.
    pub(in crate::pipeline) queries: Vec<Query>,
    /// Queries to evaluate with.
    pub(in crate::pipeline) held_out: Vec<Query>,
}

/// Which of the queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queries {
    ToTrain,
    HeldOut,
}

impl Queries {
    pub(super) fn path(self, layout: &Layout) -> PathBuf {
        match self {
            Self::ToTrain => layout.queries(),
            Self::HeldOut => layout.held_out_queries(),
        }
    }

    /// Relevance to them by the rewarding judge, which retrieves.
    pub(super) fn retrieval(self) -> Table {
        match self {
            Self::ToTrain => Table::Training,
            Self::HeldOut => Table::HeldOut,
        }
    }
}

/// What is asked, and what is retrieved for it.
pub(in crate::pipeline) struct Asked<'a> {
    pub(in crate::pipeline) persona: &'a Persona,
    pub(in crate::pipeline) queries: &'a [Query],
    /// Those of the queries that are asked.
    pub(in crate::pipeline) query_idxs: Vec<usize>,
    /// The rewarding judge's relevance.
    pub(in crate::pipeline) retrieval: RelevanceTable,
    /// The same to what was asked before each query.
    pub(in crate::pipeline) earlier: Vec<RelevanceTable>,
}

/// Which queries, by whose judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Those to train on, by the rewarding judge.
    Training,
    /// Those held out, by the rewarding judge, which retrieves.
    HeldOut,
    /// Those held out, by the grading judge, which scores.
    Grading,
}

impl Table {
    /// The name of the stage and of its file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Training => "relevance-table",
            Self::HeldOut => "held-out-relevance-table",
            Self::Grading => "grading-relevance-table",
        }
    }

    pub(super) fn queries(self) -> Queries {
        match self {
            Self::Training => Queries::ToTrain,
            Self::HeldOut | Self::Grading => Queries::HeldOut,
        }
    }
}
