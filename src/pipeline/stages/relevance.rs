//! Relevance of every statement to every query that is asked.

use std::io::ErrorKind;
use std::path::Path;

use crate::persona::{
    Conversation, JudgeTask, LocalJudge, Persona, Query, RelevanceCache, RelevanceTable, Turn,
    relevance_of_turns,
};
use crate::pipeline::models::identity;
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::{Asked, Queries, Table};
use crate::pipeline::stages::judges;
use crate::teacher::some_others;
use crate::text::seed_for;
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A line of a table's file: P(relevant) of every statement for a query.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    query_idx: usize,
    /// To what was asked before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<Vec<f64>>,
    relevant: Vec<f64>,
}

/// Relevance to every query, and to what was asked before it.
struct Tables {
    last: RelevanceTable,
    earlier: Vec<RelevanceTable>,
}

/// The setting that says how many of the queries are asked.
fn limit(run: &Run<'_>, table: Table) -> (&'static str, usize) {
    let replies = &run.config.replies;
    match table.queries() {
        Queries::ToTrain => ("max_dpo_data", replies.max_dpo_data),
        Queries::HeldOut => ("max_eval_queries", replies.max_eval_queries),
    }
}

pub(super) fn spec(run: &Run<'_>, table: Table) -> Result<StageSpec> {
    let (setting, limit) = limit(run, table);
    let spec = run
        .stage(table.name())
        .with_settings(json!({setting: limit, "seed": run.config.seed}))
        .reads("statements", run.layout.statements())
        .reads("queries", table.queries().path(&run.layout))
        .writes(Output::result(run.layout.jsonl(table.name())));
    match table {
        Table::Grading => judges::spec_with_judge(run, spec, &run.graders.relevance),
        _ => judges::reads_rewarding(run, spec, JudgeTask::Relevance),
    }
}

fn make(
    run: &mut Run<'_>,
    table: Table,
    persona: &Persona,
    queries: &[Query],
    query_idxs: &[usize],
) -> Result<Tables> {
    let path = run.layout.jsonl(table.name());
    let mut stage = run.open(spec(run, table)?)?;
    if !stage.is_complete() {
        let judge = match table {
            Table::Grading => run.graders.relevance.clone(),
            _ => judges::rewarding(run).relevance,
        };
        // Numbers of another judge are never taken for this one's.
        let identity = identity(&judge)?.to_string();
        let mut cache = open_cache(run, table, &identity)?;
        let judge = LocalJudge::load_noting(&judge, JudgeTask::Relevance, run.devices, run.job)?;
        let asked = query_idxs.iter().map(|&idx| queries[idx].conversation());
        let asked: Vec<Conversation> = asked.collect();
        let turns: Vec<Vec<Turn<'_>>> = asked.iter().map(Conversation::turns).collect();
        let judged = relevance_of_turns(&turns.concat(), |texts| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            Ok(judge
                .relevance(Some(&mut cache), persona, &texts, run.job)?
                .rows)
        })?;
        let mut judged = judged.into_iter();
        let rows = query_idxs
            .iter()
            .zip(&turns)
            .map(|(&query_idx, turns)| Row {
                query_idx,
                before: judged.by_ref().take(turns.len() - 1).collect(),
                relevant: judged.next().unwrap_or_default(),
            });
        let rows: Vec<Row> = rows.collect();
        files::write_jsonl(&path, &rows)?;
        stage.complete()?;
    }
    // Queries that are not asked have an empty row.
    let mut rows = vec![Vec::new(); queries.len()];
    let mut earlier = vec![RelevanceTable { rows: Vec::new() }; queries.len()];
    for row in files::read_jsonl::<Row>(&path)? {
        let idx = row.query_idx;
        let n_statements = persona.statements.len();
        let fits = row.relevant.len() == n_statements
            && row.before.iter().all(|row| row.len() == n_statements);
        let query = queries
            .get(idx)
            .filter(|query| fits && row.before.len() == query.before.len());
        if query.is_none() {
            return Err(not_the_tables(&path, idx));
        }
        rows[idx] = row.relevant;
        earlier[idx].rows = row.before;
    }
    match query_idxs.iter().find(|&&idx| rows[idx].is_empty()) {
        Some(&idx) => Err(not_the_tables(&path, idx)),
        None => Ok(Tables {
            last: RelevanceTable { rows },
            earlier,
        }),
    }
}

/// Opens what was judged before. It begins anew with `force`, at the first of the tables, and where it cannot be read: what it
/// holds can be judged again.
fn open_cache(run: &Run<'_>, table: Table, identity: &str) -> Result<RelevanceCache> {
    let path = run.layout.relevance_cache();
    let remove = || match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    };
    if run.config.force && table == Table::Training {
        remove()?;
    }
    match RelevanceCache::open(&path, identity) {
        Err(error @ Error::Invalid { .. }) => {
            let told = format!("{error}: it was removed, and what it held is judged again");
            run.job.progress.note(&told);
            remove()?;
            RelevanceCache::open(&path, identity)
        }
        opened => opened,
    }
}

fn not_the_tables(path: &Path, query_idx: usize) -> Error {
    let reason = format!(
        "its row for query {query_idx} is missing or does not fit the statements; delete the file and run again"
    );
    Error::invalid(path, reason)
}

/// What is asked to train on.
pub(in crate::pipeline) fn ask_to_train<'a>(
    run: &mut Run<'_>,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    ask(run, Table::Training, persona, queries)
}

/// What is asked to evaluate.
pub(in crate::pipeline) fn ask_held_out<'a>(
    run: &mut Run<'_>,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    ask(run, Table::HeldOut, persona, queries)
}

fn ask<'a>(
    run: &mut Run<'_>,
    table: Table,
    persona: &'a Persona,
    queries: &'a [Query],
) -> Result<Asked<'a>> {
    let (_, limit) = limit(run, table);
    let query_idxs = some_of(queries.len(), limit, run.config.seed);
    let Tables { last, earlier } = make(run, table, persona, queries, &query_idxs)?;
    Ok(Asked {
        retrieval: last,
        earlier,
        persona,
        queries,
        query_idxs,
    })
}

/// The grading judge's relevance for what is held out.
pub(in crate::pipeline) fn grading_relevance(
    run: &mut Run<'_>,
    asked: &Asked<'_>,
) -> Result<RelevanceTable> {
    let Asked {
        persona,
        queries,
        query_idxs,
        ..
    } = asked;
    Ok(make(run, Table::Grading, persona, queries, query_idxs)?.last)
}

/// At most `limit` of the queries, drawn by seed, in their order.
fn some_of(n_queries: usize, limit: usize, seed: u64) -> Vec<usize> {
    let all: Vec<usize> = (0..n_queries).collect();
    let mut some = some_others(&all, usize::MAX, limit, seed_for(seed, &[2]));
    some.sort_unstable();
    some
}
