//! Who writes the data: the trait, chat models, and data that was imported.
//!
//! A teacher turns a page into statements, asks about them, and writes the data that judges are fine-tuned on. Teachers
//! know records but not stages: the pipeline decides which files the results go to.

pub mod chat;
pub mod imported;

use std::fmt;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::persona::{Nli, NliExample, Query, Relevance, RelevanceExample, Statement};

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

    /// What a question is about, however it is worded: questions with one topic are never split between training and
    /// evaluation.
    ///
    /// By default its words without the character's name, so that only punctuation and case may differ.
    fn topic(&self, character: &str, query: &str) -> String {
        let words = |text: &str| {
            let text = text.to_lowercase();
            let words = text.split(|c: char| !c.is_alphanumeric());
            words
                .filter(|word| !word.is_empty())
                .map(str::to_string)
                .collect::<Vec<_>>()
        };
        let name = words(character);
        let words = words(query).into_iter().filter(|word| !name.contains(word));
        words.collect::<Vec<_>>().join(" ")
    }

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
