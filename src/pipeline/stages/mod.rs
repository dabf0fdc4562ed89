//! The stages, one file each: `spec` says what a stage reads and writes, `make` makes it.
//!
//! `sample.rs` and `rejected.rs` are what several stages share. A stage knows the files that it reads by the
//! [layout](crate::pipeline::layout), never the stage that wrote them.

pub(super) mod asked;
pub(super) mod dpo;
pub(super) mod evaluate;
pub(super) mod judge_data;
pub(super) mod judges;
pub(super) mod pairs;
pub(super) mod queries;
mod rejected;
pub(super) mod relevance;
mod sample;
pub(super) mod statements;
mod turns;

pub use evaluate::{Evaluation, Interval, bootstrap_interval};
pub use statements::is_too_long;

use crate::Result;
use crate::pipeline::record::StageSpec;
use crate::pipeline::run::Run;
use asked::Table;

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
