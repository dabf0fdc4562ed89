//! What judges of a character's own are fine-tuned on.

use std::path::PathBuf;

use super::stage::seed_for;
use crate::Result;
use crate::persona::{NliExample, Query, RelevanceExample};
use crate::teacher::{Teacher, some_others};

/// The two judges' folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discriminators {
    /// Whether a statement matters to a query.
    pub relevance: PathBuf,
    /// Whether a reply follows from a statement.
    pub nli: PathBuf,
}

/// Relevance data: for each statement its own queries, and five of other statements.
pub(super) fn relevance_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
) -> Result<Vec<RelevanceExample>> {
    let mut examples = Vec::new();
    for (statement_idx, statement) in statements.iter().enumerate() {
        let own = queries.iter().filter(|query| query.statement == *statement);
        let other: Vec<&Query> = queries
            .iter()
            .filter(|query| query.statement != *statement)
            .collect();
        let other = some_others(
            &other,
            usize::MAX,
            5,
            seed_for(seed, &[1, statement_idx as u64]),
        );
        for query in own.chain(other) {
            let label = teacher.relevance(character, statement, &query.query)?;
            examples.push(RelevanceExample {
                statement: statement.clone(),
                query: query.query.clone(),
                label,
            });
        }
    }
    Ok(examples)
}

/// NLI data: for each query a reply of each kind, under its own statement and under another.
pub(super) fn nli_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
) -> Result<Vec<NliExample>> {
    let mut examples = Vec::new();
    for (query_idx, query) in queries.iter().enumerate() {
        let own = statements
            .iter()
            .position(|statement| *statement == query.statement)
            .unwrap_or(usize::MAX);
        let seed = seed_for(seed, &[2, query_idx as u64]);
        let others = some_others(statements, own, 4, seed);
        let replies = teacher.replies(character, query, &others, seed)?;
        for reply in &replies {
            for statement in others.iter().take(1) {
                let label = teacher.nli(character, statement, &query.query, &reply.response)?;
                examples.push(NliExample {
                    statement: statement.clone(),
                    label,
                    ..reply.clone()
                });
            }
        }
        examples.extend(replies);
    }
    Ok(examples)
}
