//! The teacher that needs no model: English by rules.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Reply, english};
use crate::Result;
use crate::persona::{Nli, NliExample, Query, Relevance, Statement};
use crate::teacher::Teacher;

/// Rules for English pages; see [`english`](super::english) for what they can and cannot do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Teacher for Offline {
    fn version(&self) -> String {
        "offline-1".to_string()
    }

    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>> {
        let statements = english::statements(character, page);
        Ok(statements
            .into_iter()
            .map(|statement| Statement { statement })
            .collect())
    }

    fn topic(&self, character: &str, query: &str) -> String {
        english::matter_of(character, query)
    }

    fn rounds(&self) -> u64 {
        8 // it repeats itself
    }

    fn queries(
        &self,
        character: &str,
        statement: &str,
        _asked: &[Query],
        seed: u64,
    ) -> Result<Vec<Query>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let questions = english::questions(character, statement, &mut rng);
        Ok(questions
            .into_iter()
            .map(|query| Query {
                statement: statement.to_string(),
                query,
            })
            .collect())
    }

    fn relevance(
        &self,
        character: &str,
        statement: &str,
        queries: &[&str],
    ) -> Result<Option<Vec<Relevance>>> {
        let label = |query: &&str| {
            if english::is_relevant(character, statement, query) {
                Relevance::Yes
            } else {
                Relevance::No
            }
        };
        Ok(Some(queries.iter().map(label).collect()))
    }

    fn replies(
        &self,
        character: &str,
        query: &Query,
        others: &[String],
        seed: u64,
    ) -> Result<Option<Vec<NliExample>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let Query { statement, query } = query;
        let texts = [
            (
                Nli::Entailed,
                english::entailed(character, statement, query, &mut rng),
            ),
            (
                Nli::Neutral,
                english::neutral(character, statement, query, others, &mut rng),
            ),
            (
                Nli::Contradicted,
                english::contradicted(character, statement, query, others, &mut rng),
            ),
        ];
        let example = |(label, reply): (Nli, Reply)| NliExample {
            statement: statement.clone(),
            query: query.clone(),
            response: reply.text,
            label,
        };
        Ok(Some(texts.into_iter().map(example).collect()))
    }

    fn nli(
        &self,
        character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>> {
        Ok(Some(english::label(character, statement, query, response)))
    }
}
