//! Who writes the data: a teacher for a character's page, and invented personas to train models on.

pub mod invented;
pub mod offline;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::persona::{Nli, NliExample, Query, Relevance, Statement};
use crate::{Error, Result};

/// The five tasks of a teacher. Each depends on its arguments and the seed alone.
pub trait Teacher: Send + Sync {
    /// A name with the version of its rules or prompts: data from another one is made again.
    fn version(&self) -> String;

    /// Persona statements from a page, one sentence each.
    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>>;

    /// Three questions whose answer is in the statement.
    fn queries(&self, character: &str, statement: &str, seed: u64) -> Result<Vec<Query>>;

    /// Whether the statement matters to the query.
    fn relevance(&self, character: &str, statement: &str, query: &str) -> Result<Relevance>;

    /// An entailed, a neutral and a contradicted reply to the query; `others` are more statements of the character.
    fn replies(
        &self,
        character: &str,
        query: &Query,
        others: &[String],
        seed: u64,
    ) -> Result<Vec<NliExample>>;

    /// What the statement says of a reply.
    fn nli(&self, character: &str, statement: &str, query: &str, response: &str) -> Result<Nli>;
}

/// The teacher of that name.
pub fn teacher(model_engine: &str) -> Result<Box<dyn Teacher>> {
    match model_engine {
        "offline" => Ok(Box::new(Offline)),
        other => Err(Error::Usage(format!(
            "--model-engine {other}: only offline is built in; chat models as teachers are not there yet"
        ))),
    }
}

/// Rules for English pages; see [`offline`] for what they can and cannot do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Teacher for Offline {
    fn version(&self) -> String {
        "offline-1".to_string()
    }

    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>> {
        let statements = offline::statements(character, page);
        Ok(statements
            .into_iter()
            .map(|statement| Statement { statement })
            .collect())
    }

    fn queries(&self, character: &str, statement: &str, seed: u64) -> Result<Vec<Query>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let questions = offline::questions(character, statement, &mut rng);
        Ok(questions
            .into_iter()
            .map(|query| Query {
                statement: statement.to_string(),
                query,
            })
            .collect())
    }

    fn relevance(&self, character: &str, statement: &str, query: &str) -> Result<Relevance> {
        Ok(if offline::is_relevant(character, statement, query) {
            Relevance::Yes
        } else {
            Relevance::No
        })
    }

    fn replies(
        &self,
        character: &str,
        query: &Query,
        others: &[String],
        seed: u64,
    ) -> Result<Vec<NliExample>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let Query { statement, query } = query;
        let texts = [
            (
                Nli::Entailed,
                offline::entailed(character, statement, query, &mut rng),
            ),
            (
                Nli::Neutral,
                offline::neutral(character, statement, query, others, &mut rng),
            ),
            (
                Nli::Contradicted,
                offline::contradicted(character, statement, query, others, &mut rng),
            ),
        ];
        let example = |(label, reply): (Nli, offline::Reply)| NliExample {
            statement: statement.clone(),
            query: query.clone(),
            response: reply.text,
            label,
        };
        Ok(texts.into_iter().map(example).collect())
    }

    fn nli(&self, character: &str, statement: &str, query: &str, response: &str) -> Result<Nli> {
        Ok(
            match offline::label(character, statement, query, response) {
                offline::Label::Contradicted => Nli::Contradicted,
                offline::Label::Neutral => Nli::Neutral,
                offline::Label::Entailed => Nli::Entailed,
            },
        )
    }
}

/// Some of `items` other than the one at `except`, drawn by seed.
pub(crate) fn some_others<T: Clone>(items: &[T], except: usize, n: usize, seed: u64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let others: Vec<usize> = (0..items.len())
        .filter(|&item_idx| item_idx != except)
        .collect();
    others
        .sample(&mut rng, n)
        .map(|&item_idx| items[item_idx].clone())
        .collect()
}
