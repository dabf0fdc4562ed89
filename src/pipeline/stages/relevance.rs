//! Relevance of every statement to every query.

use serde_json::json;

use crate::persona::{
    JudgeSource, JudgeTask, LocalJudge, Persona, Query, RelevanceCache, RelevanceTable,
};
use crate::pipeline::models::{about, identity};
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
        Table::Grading => spec_with_judge(run, spec, &run.graders.relevance),
        _ => judges::reads_rewarding(run, spec, JudgeTask::Relevance),
    }
}

/// The same stage, whose judge no stage makes.
pub(super) fn spec_with_judge(
    run: &Run<'_>,
    spec: StageSpec,
    judge: &JudgeSource,
) -> Result<StageSpec> {
    Ok(spec
        .with_settings(json!({"judge": identity(judge)?}))
        .with_about(json!({"judge": about(judge, &run.config.output)})))
}

pub(super) fn make(
    run: &mut Run<'_>,
    table: Table,
    persona: &Persona,
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
        let identity = identity(&judge)?.to_string();
        let mut cache = RelevanceCache::open(&run.layout.relevance_cache(), &identity)?;
        let judge = LocalJudge::load(&judge, JudgeTask::Relevance, run.devices)?;
        let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
        let table = judge.relevance(Some(&mut cache), persona, &queries, run.job)?;
        files::write_jsonl(&path, &table.rows)?;
        stage.complete()?;
    }
    Ok(RelevanceTable {
        rows: files::read_jsonl(&path)?,
    })
}
