//! What a teacher is asked, and what becomes of it.

use std::collections::HashSet;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::parallel::at_once;
use crate::persona::{NliExample, Query, RelevanceExample};
use crate::pipeline::run::Run;
use crate::progress::Job;
use crate::teacher::{Outcome, Rejected, Teacher, some_others};
use crate::text::seed_for;
use crate::{Error, Result, files};

/// A task whose answers could not be used, with its stage.
#[derive(Serialize, Deserialize)]
struct Aside {
    stage: String,
    #[serde(flatten)]
    rejected: Rejected,
}

impl Run<'_> {
    /// Ends what a teacher did for a stage: what could not be used is kept aside and counted, and much of it is an error.
    pub(super) fn settle(&mut self, stage: &str, started: Instant) -> Result<()> {
        self.taught += started.elapsed();
        let Outcome { asked, rejected } = self.teacher.take_outcome();
        let path = self.folders.data.join("rejected.jsonl");
        let mut aside: Vec<Aside> = if path.is_file() {
            files::read_jsonl(&path)?
        } else {
            Vec::new()
        };
        aside.retain(|other| other.stage != stage);
        let count = rejected.len();
        aside.extend(rejected.into_iter().map(|rejected| Aside {
            stage: stage.to_string(),
            rejected,
        }));
        if path.is_file() || !aside.is_empty() {
            files::write_jsonl(&path, &aside)?;
        }
        if count * 10 > asked {
            return Err(Error::Teacher(format!(
                "{count} of {asked} answers for the stage {stage} could not be used; {} tells why. Try another \
                 --model-engine, or remove {} to ask the same one again",
                path.display(),
                self.answers_path().display(),
            )));
        }
        if count > 0 {
            self.job.progress.note(&format!(
                "{count} of {asked} answers for the stage {stage} could not be used; they are in {}",
                path.display()
            ));
        }
        Ok(())
    }
}

/// Queries to train on, up to three for each statement, and queries that are held out.
///
/// What a statement is asked is split by what it comes to, so that no held-out query is one of the others in another
/// wording; of the wordings of a held-out query one is asked.
pub(super) fn ask(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    seed: u64,
    job: &Job,
) -> Result<(Vec<Query>, Vec<Query>)> {
    /// Queries that a statement is trained with at most, and as many at most are held out.
    const QUERIES: usize = 3;
    let task = job.progress.task("queries", statements.len(), "statements");
    let idxs: Vec<u64> = (0..statements.len() as u64).collect();
    let rounds = at_once(&idxs, teacher.concurrency(), |&statement_idx| {
        let statement = &statements[statement_idx as usize];
        let mut rounds: Vec<Vec<Query>> = Vec::new();
        for round in 0..teacher.rounds() {
            job.check()?;
            let seed = seed_for(seed, &[1, statement_idx, round]);
            rounds.push(teacher.queries(character, statement, &rounds.concat(), seed)?);
        }
        task.advance(1);
        Ok(rounds)
    })?;

    let mut asked = HashSet::new();
    let (mut queries, mut held_out) = (Vec::new(), Vec::new());
    for (statement_idx, rounds) in (0..).zip(rounds) {
        let mut matters: Vec<(String, Vec<Query>)> = Vec::new();
        for round in rounds {
            if matters.len() >= 2 * QUERIES {
                break;
            }
            for query in round {
                let matter = teacher.topic(character, &query.query);
                match matters.iter_mut().find(|(known, _)| *known == matter) {
                    Some((_, wordings)) if !wordings.contains(&query) => wordings.push(query),
                    Some(_) => {}
                    // Another statement may have been asked the same.
                    None if !asked.insert(matter.clone()) => {}
                    None => matters.push((matter, vec![query])),
                }
            }
        }
        let seed = seed_for(seed, &[5, statement_idx]);
        let mut matters = some_others(&matters, usize::MAX, matters.len(), seed);
        let others = matters.split_off(matters.len().div_ceil(2));
        let first = others
            .into_iter()
            .filter_map(|(_, wordings)| wordings.into_iter().next());
        held_out.extend(first.take(QUERIES));
        // The first wording of each, then the second of each.
        let most = matters.iter().map(|(_, wordings)| wordings.len()).max();
        let in_turn = (0..most.unwrap_or(0)).flat_map(|place| {
            matters
                .iter()
                .filter_map(move |(_, wordings)| wordings.get(place))
        });
        queries.extend(in_turn.take(QUERIES).cloned());
    }
    Ok((queries, held_out))
}

/// Relevance data: for each statement its own queries, and five of other statements.
pub(super) fn relevance_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
    job: &Job,
) -> Result<Vec<RelevanceExample>> {
    let task = job
        .progress
        .task("relevance data", statements.len(), "statements");
    let idxs: Vec<usize> = (0..statements.len()).collect();
    let examples = at_once(&idxs, teacher.concurrency(), |&statement_idx| {
        job.check()?;
        let statement = &statements[statement_idx];
        let (own, other): (Vec<&Query>, Vec<&Query>) = queries
            .iter()
            .partition(|query| query.statement == *statement);
        let seed = seed_for(seed, &[1, statement_idx as u64]);
        let other = some_others(&other, usize::MAX, 5, seed);
        let asked: Vec<&str> = own
            .into_iter()
            .chain(other)
            .map(|query| query.query.as_str())
            .collect();
        let labels = teacher.relevance(character, statement, &asked)?;
        task.advance(1);
        let examples = asked.into_iter().zip(labels.unwrap_or_default());
        let example = |(query, label): (&str, _)| RelevanceExample {
            statement: statement.clone(),
            query: query.to_string(),
            label,
        };
        Ok(examples.map(example).collect::<Vec<_>>())
    })?;
    Ok(examples.concat())
}

/// NLI data: for each query a reply of each kind, under its own statement and under another.
pub(super) fn nli_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
    job: &Job,
) -> Result<Vec<NliExample>> {
    let task = job.progress.task("NLI data", queries.len(), "queries");
    let idxs: Vec<usize> = (0..queries.len()).collect();
    let examples = at_once(&idxs, teacher.concurrency(), |&query_idx| {
        job.check()?;
        let query = &queries[query_idx];
        let own = statements
            .iter()
            .position(|statement| *statement == query.statement)
            .unwrap_or(usize::MAX);
        let seed = seed_for(seed, &[2, query_idx as u64]);
        let others = some_others(statements, own, 4, seed);
        let replies = teacher.replies(character, query, &others, seed)?;
        let replies = replies.unwrap_or_default();
        let mut examples = Vec::new();
        for reply in &replies {
            for statement in others.iter().take(1) {
                let label = teacher.nli(character, statement, &query.query, &reply.response)?;
                examples.extend(label.map(|label| NliExample {
                    statement: statement.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Offline;

    #[test]
    fn held_out_queries_ask_what_no_other_query_asks() {
        let statements = [
            "Mira plays the cello in a café on Sundays.",
            "Mira's mother is a nurse.",
            "Mira was born in Bonn in 1990.",
            "Mira is afraid of the sea.",
        ]
        .map(str::to_string);
        let asked = |seed| ask(&Offline, "Mira", &statements, seed, &Job::default()).unwrap();
        let (queries, held_out) = asked(1);
        let matters = |queries: &[Query]| -> HashSet<String> {
            let matters = queries
                .iter()
                .map(|query| Offline.topic("Mira", &query.query));
            matters.collect()
        };
        assert!(matters(&queries).is_disjoint(&matters(&held_out)));
        assert_eq!(matters(&held_out).len(), held_out.len(), "{held_out:?}");
        assert!(held_out.len() >= statements.len(), "{held_out:?}");
        for statement in &statements {
            let own = queries.iter().filter(|query| query.statement == *statement);
            assert!((1..=3).contains(&own.count()), "{statement}");
        }
        assert_eq!(asked(1), (queries, held_out.clone()));
        assert_ne!(asked(2).1, held_out);
    }
}
