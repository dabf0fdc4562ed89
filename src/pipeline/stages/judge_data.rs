//! What judges are fine-tuned on.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::Result;
use crate::parallel::at_once;
use crate::persona::{JudgeTask, NliExample, Query, RelevanceExample};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::TeacherData;
use crate::pipeline::stages::rejected::settle;
use crate::progress::Job;
use crate::teacher::{Examples, Teacher, some_others};
use crate::text::seed_for;

/// Where a judge's data is.
pub(super) fn path(run: &Run<'_>, task: JudgeTask) -> PathBuf {
    run.layout.jsonl(match task {
        JudgeTask::Relevance => "relevance",
        JudgeTask::Nli => "nli",
    })
}

pub(in crate::pipeline) fn spec(run: &Run<'_>) -> StageSpec {
    let spec = run
        .stage("judge-data")
        .with_settings(json!({"seed": run.config.seed, "teacher": run.teacher.version()}))
        .reads("queries", run.layout.queries());
    spec.writes(Output::data(path(run, JudgeTask::Relevance)))
        .writes(Output::data(path(run, JudgeTask::Nli)))
}

/// Has the teacher write what judges are fine-tuned on.
pub(in crate::pipeline) fn make(run: &mut Run<'_>, data: &TeacherData) -> Result<()> {
    let mut stage = run.open(spec(run))?;
    if stage.is_complete() {
        return Ok(());
    }
    let started = Instant::now();
    let teacher = run.teacher.as_ref();
    let Examples { relevance, nli } = match teacher.examples() {
        Some(examples) => examples,
        None => {
            let asking = Asking {
                teacher,
                character: &run.config.character,
                statements: &data.statements,
                queries: &data.queries,
                seed: run.config.seed,
                job: run.job,
            };
            Examples {
                relevance: asking.relevance()?,
                nli: asking.nli()?,
            }
        }
    };
    settle(run, "judge-data", started, Vec::new())?;
    stage.write_jsonl(&path(run, JudgeTask::Relevance), &relevance, run.job)?;
    stage.write_jsonl(&path(run, JudgeTask::Nli), &nli, run.job)?;
    stage.complete()
}

/// What a teacher is asked for the judges' data.
struct Asking<'a> {
    teacher: &'a dyn Teacher,
    character: &'a str,
    statements: &'a [String],
    queries: &'a [Query],
    seed: u64,
    job: &'a Job,
}

impl Asking<'_> {
    /// Relevance data: for each statement its own queries, and five of other statements.
    fn relevance(&self) -> Result<Vec<RelevanceExample>> {
        let task = self
            .job
            .progress
            .task("relevance data", self.statements.len(), "statements");
        let idxs: Vec<usize> = (0..self.statements.len()).collect();
        let examples = at_once(&idxs, self.teacher.concurrency(), |&statement_idx| {
            self.job.check()?;
            let statement = &self.statements[statement_idx];
            let (own, other): (Vec<&Query>, Vec<&Query>) = self
                .queries
                .iter()
                .partition(|query| query.statement == *statement);
            let seed = seed_for(self.seed, &[1, statement_idx as u64]);
            let other = some_others(&other, usize::MAX, 5, seed);
            let asked: Vec<&str> = own
                .into_iter()
                .chain(other)
                .map(|query| query.query.as_str())
                .collect();
            let labels = self.teacher.relevance(self.character, statement, &asked)?;
            task.advance(1);
            let examples = asked.into_iter().zip(labels.unwrap_or_default());
            let example = |(query, label): (&str, _)| RelevanceExample {
                statement: statement.to_string(),
                query: query.to_string(),
                label,
            };
            Ok(examples.map(example).collect::<Vec<_>>())
        })?;
        Ok(examples.concat())
    }

    /// NLI data: for each query a reply of each kind, under its own statement and under another.
    fn nli(&self) -> Result<Vec<NliExample>> {
        let task = self
            .job
            .progress
            .task("NLI data", self.queries.len(), "queries");
        let idxs: Vec<usize> = (0..self.queries.len()).collect();
        let examples = at_once(&idxs, self.teacher.concurrency(), |&query_idx| {
            self.job.check()?;
            let query = &self.queries[query_idx];
            let own = self
                .statements
                .iter()
                .position(|statement| *statement == query.statement)
                .unwrap_or(usize::MAX);
            let seed = seed_for(self.seed, &[2, query_idx as u64]);
            let others = some_others(self.statements, own, 4, seed);
            let replies = self.teacher.replies(self.character, query, &others, seed)?;
            let replies = replies.unwrap_or_default();
            let mut examples = Vec::new();
            for reply in &replies {
                for statement in others.iter().take(1) {
                    let label = self.teacher.nli(
                        self.character,
                        statement,
                        &query.query,
                        &reply.response,
                    )?;
                    examples.extend(label.map(|label| NliExample {
                        statement: statement.to_string(),
                        label,
                        ..reply.clone()
                    }));
                }
            }
            examples.extend(replies);
            task.advance(1);
            Ok(examples)
        })?;
        Ok(examples.concat())
    }
}
