//! Who writes the data: a teacher for a character's page, and invented personas to train models on.

pub mod chat;
pub mod imported;
pub mod invented;
pub mod offline;

use std::fmt;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::persona::{Nli, NliExample, Query, Relevance, RelevanceExample, Statement};
use crate::{Error, Result};

/// The five tasks of a teacher.
///
/// Rules depend on their arguments and the seed alone; a chat model gives the same answer because it is kept. A task for
/// which there is no usable answer gives nothing and is counted.
pub trait Teacher: Send + Sync {
    /// A name with the version of its rules or prompts: data from another one is made again.
    fn version(&self) -> String;

    /// Persona statements from a page, one sentence each.
    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>>;

    /// Three questions whose answer is in the statement, none of them `asked` before.
    fn queries(
        &self,
        character: &str,
        statement: &str,
        asked: &[Query],
        seed: u64,
    ) -> Result<Vec<Query>>;

    /// Whether the statement matters to each query.
    fn relevance(
        &self,
        character: &str,
        statement: &str,
        queries: &[&str],
    ) -> Result<Option<Vec<Relevance>>>;

    /// An entailed, a neutral and a contradicted reply to the query; `others` are more statements of the character.
    fn replies(
        &self,
        character: &str,
        query: &Query,
        others: &[String],
        seed: u64,
    ) -> Result<Option<Vec<NliExample>>>;

    /// What the statement says of a reply.
    fn nli(
        &self,
        character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>>;

    /// What judges are fine-tuned on, if it need not be made.
    fn examples(&self) -> Option<Examples> {
        None
    }

    /// How often a statement is asked about before all of its questions are there.
    fn rounds(&self) -> u64;

    /// How many tasks are best done at once.
    fn concurrency(&self) -> usize {
        1
    }

    /// What was asked since the last call, and which answers could not be used.
    fn take_outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// About what would be asked for a page and, if judges are fine-tuned, for their data; nothing of rules.
    fn plan(&self, _character: &str, _page: &str, _fine_tunes: bool) -> Option<Plan> {
        None
    }

    /// Frees what no task needs until the next.
    fn rest(&self) {}

    /// What was sent to a model and came back, if there is one.
    fn usage(&self) -> Option<chat::Usage> {
        None
    }
}

/// What judges are fine-tuned on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examples {
    /// For relevance.
    pub relevance: Vec<RelevanceExample>,
    /// For NLI.
    pub nli: Vec<NliExample>,
}

/// About what a teacher would be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The model's name.
    pub model: String,
    /// Requests, retries not counted.
    pub requests: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            requests,
            tokens,
        } = self;
        write!(
            f,
            "{model} will be asked about {requests} times, some {tokens} tokens in all"
        )
    }
}

/// What became of a teacher's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many tasks there were.
    pub asked: usize,
    /// Those whose answers could not be used.
    pub rejected: Vec<Rejected>,
}

/// A task whose answers could not be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rejected {
    /// Which task.
    pub task: String,
    /// The prompt.
    pub asked: String,
    /// The answers, the first and the second.
    pub replies: Vec<String>,
    /// What is wrong with the second.
    pub reason: String,
}

/// Does `work` for every item, so many at once; the results keep the order of the items.
pub(crate) fn at_once<I: Sync, O: Send>(
    items: &[I],
    concurrency: usize,
    work: impl Fn(&I) -> Result<O> + Send + Sync,
) -> Result<Vec<O>> {
    if concurrency < 2 {
        return items.iter().map(work).collect();
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(concurrency)
        .build()
        .map_err(|error| Error::Usage(format!("cannot start {concurrency} threads: {error}")))?;
    pool.install(|| items.par_iter().with_max_len(1).map(work).collect())
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
        let questions = offline::questions(character, statement, &mut rng);
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
            if offline::is_relevant(character, statement, query) {
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
        Ok(Some(texts.into_iter().map(example).collect()))
    }

    fn nli(
        &self,
        character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>> {
        Ok(Some(
            match offline::label(character, statement, query, response) {
                offline::Label::Contradicted => Nli::Contradicted,
                offline::Label::Neutral => Nli::Neutral,
                offline::Label::Entailed => Nli::Entailed,
            },
        ))
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
