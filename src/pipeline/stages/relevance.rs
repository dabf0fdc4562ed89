//! Relevance of every statement to every query.

use serde_json::json;

use crate::persona::{Judge, JudgeTask, Query, RelevanceCache, RelevanceTable, judge_relevance};
use crate::pipeline::models::JudgeModel;
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::{Queries, judges};
use crate::{Result, files};

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

    fn queries(self) -> Queries {
        match self {
            Self::Training => Queries::ToTrain,
            Self::HeldOut | Self::Grading => Queries::HeldOut,
        }
    }
}

pub(super) fn spec(run: &Run<'_>, table: Table) -> Result<StageSpec> {
    let spec = run
        .stage(table.name())
        .reads("statements", run.layout.statements())
        .reads("queries", table.queries().path(&run.layout))
        .writes(Output::result(run.layout.jsonl(table.name())));
    match table {
        Table::Grading => spec_with_judge(spec, &run.graders.relevance),
        _ => judges::reads_rewarding(run, spec, JudgeTask::Relevance),
    }
}

/// The same stage, whose judge no stage makes.
pub(super) fn spec_with_judge(spec: StageSpec, judge: &JudgeModel) -> Result<StageSpec> {
    Ok(spec
        .with_settings(json!({"judge": judge.identity()?}))
        .with_about(json!({"judge": judge.about()})))
}

pub(super) fn make(
    run: &mut Run<'_>,
    table: Table,
    statements: &[String],
    queries: &[Query],
) -> Result<RelevanceTable> {
    let path = run.layout.jsonl(table.name());
    let mut stage = run.open(spec(run, table)?)?;
    if !stage.is_complete() {
        let judge = match table {
            Table::Grading => run.graders.relevance.clone(),
            _ => judges::rewarding(run).relevance,
        };
        // Numbers of another judge are never taken for this one's.
        let identity = judge.identity()?.to_string();
        let mut cache = RelevanceCache::open(&run.layout.relevance_cache(), &identity)?;
        let judge = Judge::load(&judge.folder(), JudgeTask::Relevance, run.devices)?;
        let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
        let table = judge_relevance(
            &judge,
            Some(&mut cache),
            &run.config.character,
            statements,
            &queries,
            run.job,
        )?;
        files::write_jsonl(&path, &table.rows)?;
        stage.complete()?;
    }
    Ok(RelevanceTable {
        rows: files::read_jsonl(&path)?,
    })
}
