//! The stages, one file each: `spec` says what a stage reads and writes, `make` makes it.
//!
//! `sample.rs` and `rejected.rs` are what several stages share. A stage knows the files that it reads by the
//! [layout](crate::pipeline::layout), never the stage that wrote them.

pub(super) mod dpo;
pub(super) mod evaluate;
pub(super) mod judge_data;
pub(super) mod judges;
pub(super) mod pairs;
pub(super) mod queries;
mod rejected;
mod relevance;
mod sample;
pub(super) mod statements;

pub use evaluate::{Evaluation, Interval, bootstrap_interval};

use std::path::PathBuf;

use crate::Result;
use crate::persona::{Persona, Query, RelevanceTable};
use crate::pipeline::layout::Layout;
use crate::pipeline::record::StageSpec;
use crate::pipeline::run::Run;
use crate::teacher::some_others;
use crate::text::seed_for;
use relevance::Table;

/// What is known of a character, and what is asked.
pub(super) struct TeacherData {
    pub(super) statements: Vec<String>,
    /// Queries to train on.
    pub(super) queries: Vec<Query>,
    /// Queries to evaluate with.
    pub(super) held_out: Vec<Query>,
}

/// Which of the queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queries {
    ToTrain,
    HeldOut,
}

impl Queries {
    fn path(self, layout: &Layout) -> PathBuf {
        match self {
            Self::ToTrain => layout.queries(),
            Self::HeldOut => layout.held_out_queries(),
        }
    }

    /// Relevance to them by the rewarding judge, which retrieves.
    fn retrieval(self) -> Table {
        match self {
            Self::ToTrain => Table::Training,
            Self::HeldOut => Table::HeldOut,
        }
    }
}

/// What is asked, and what is retrieved for it.
pub(super) struct Asked<'a> {
    pub(super) persona: &'a Persona,
    pub(super) queries: &'a [Query],
    /// Those of the queries that are asked.
    pub(super) query_idxs: Vec<usize>,
    /// The rewarding judge's relevance.
    pub(super) retrieval: RelevanceTable,
}

/// The stages that need a teacher, in their order.
pub(super) fn of_teacher(run: &Run<'_>) -> Vec<StageSpec> {
    let mut specs = vec![statements::spec(run), queries::spec(run)];
    if !run.config.judges.use_pretrained {
        specs.push(judge_data::spec(run));
    }
    specs
}

/// All stages of a run, in their order.
pub(super) fn all(run: &Run<'_>) -> Result<Vec<StageSpec>> {
    let mut specs = of_teacher(run);
    specs.extend(judges::fine_tune_specs(run)?);
    for table in [Table::Training, Table::HeldOut, Table::Grading] {
        specs.push(relevance::spec(run, table)?);
    }
    specs.push(pairs::spec(run)?);
    specs.push(evaluate::spec_before(run)?);
    specs.push(dpo::spec(run));
    specs.push(evaluate::spec_after(run)?);
    Ok(specs)
}

/// What is asked to train on.
pub(super) fn ask_to_train<'a>(
    run: &mut Run<'_>,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    let limit = run.config.replies.max_dpo_data;
    ask(run, Queries::ToTrain, persona, queries, limit)
}

/// What is asked to evaluate.
pub(super) fn ask_held_out<'a>(
    run: &mut Run<'_>,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    let limit = run.config.replies.max_eval_queries;
    ask(run, Queries::HeldOut, persona, queries, limit)
}

fn ask<'a>(
    run: &mut Run<'_>,
    which: Queries,
    persona: &'a Persona,
    queries: &'a [Query],
    limit: usize,
) -> Result<Asked<'a>> {
    Ok(Asked {
        persona,
        queries,
        query_idxs: some_of(queries.len(), limit, run.config.seed),
        retrieval: relevance::make(run, which.retrieval(), persona, queries)?,
    })
}

/// The grading judge's relevance for what is held out.
pub(super) fn grading_relevance(run: &mut Run<'_>, asked: &Asked<'_>) -> Result<RelevanceTable> {
    relevance::make(run, Table::Grading, asked.persona, asked.queries)
}

/// At most `limit` of the queries, drawn by seed, in their order.
fn some_of(n_queries: usize, limit: usize, seed: u64) -> Vec<usize> {
    let all: Vec<usize> = (0..n_queries).collect();
    let mut some = some_others(&all, usize::MAX, limit, seed_for(seed, &[2]));
    some.sort_unstable();
    some
}
