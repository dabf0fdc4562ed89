//! Relevance of every statement to every query.

use crate::persona::{JudgeTask, LocalJudge, Persona, Query, RelevanceCache, RelevanceTable};
use crate::pipeline::models::identity;
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::{Asked, Queries, Table};
use crate::pipeline::stages::judges;
use crate::teacher::some_others;
use crate::text::seed_for;
use crate::{Result, files};

pub(super) fn spec(run: &Run<'_>, table: Table) -> Result<StageSpec> {
    let spec = run
        .stage(table.name())
        .reads("statements", run.layout.statements())
        .reads("queries", table.queries().path(&run.layout))
        .writes(Output::result(run.layout.jsonl(table.name())));
    match table {
        Table::Grading => judges::spec_with_judge(run, spec, &run.graders.relevance),
        _ => judges::reads_rewarding(run, spec, JudgeTask::Relevance),
    }
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
        for remark in judge.remarks() {
            run.job.progress.note(remark);
        }
        let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
        let table = judge.relevance(Some(&mut cache), persona, &queries, run.job)?;
        files::write_jsonl(&path, &table.rows)?;
        stage.complete()?;
    }
    Ok(RelevanceTable {
        rows: files::read_jsonl(&path)?,
    })
}

/// What is asked to train on.
pub(in crate::pipeline) fn ask_to_train<'a>(
    run: &mut Run<'_>,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    let limit = run.config.replies.max_dpo_data;
    ask(run, Queries::ToTrain, persona, queries, limit)
}

/// What is asked to evaluate.
pub(in crate::pipeline) fn ask_held_out<'a>(
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
        retrieval: make(run, which.retrieval(), persona, queries)?,
    })
}

/// The grading judge's relevance for what is held out.
pub(in crate::pipeline) fn grading_relevance(
    run: &mut Run<'_>,
    asked: &Asked<'_>,
) -> Result<RelevanceTable> {
    make(run, Table::Grading, asked.persona, asked.queries)
}

/// At most `limit` of the queries, drawn by seed, in their order.
fn some_of(n_queries: usize, limit: usize, seed: u64) -> Vec<usize> {
    let all: Vec<usize> = (0..n_queries).collect();
    let mut some = some_others(&all, usize::MAX, limit, seed_for(seed, &[2]));
    some.sort_unstable();
    some
}
