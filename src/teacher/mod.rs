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
use crate::persona::{Exchange, Nli, NliExample, Query, Relevance, RelevanceExample, Statement};

/// A sentence or line of a page that gave no statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// What the page says.
    pub text: String,
    /// Why it is no statement, as the end of a sentence about the line: `is a question`.
    pub reason: String,
}

/// The five tasks of a teacher.
///
/// The result depends on the arguments and the seed only: a chat model's answers are kept and used again. A task without a
/// usable answer returns nothing and is counted in [`Teacher::take_outcome`].
pub trait Teacher: Send + Sync {
    /// The teacher's name with the version of its rules or prompts; data of another version is made again.
    fn version(&self) -> String;

    /// Extracts persona statements from a page, one sentence each.
    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>>;

    /// Returns the sentences of a page that gave no statement, and how many sentences it has, if the teacher knows.
    fn unread(&self, _character: &str, _page: &str) -> Option<(Vec<Unread>, usize)> {
        None
    }

    /// Writes three questions whose answer is in the statement, none of them among `asked`.
    fn queries(
        &self,
        character: &str,
        statement: &str,
        asked: &[Query],
        seed: u64,
    ) -> Result<Vec<Query>>;

    /// Whether it writes what judges are fine-tuned on, with the three tasks below.
    fn teaches_judges(&self) -> bool {
        true
    }

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

    /// Joins two questions to one conversation: what the character says to the first, and how the second is asked then, which may
    /// leave out what the first has said. Nothing if there is no usable answer.
    fn follow_up(
        &self,
        _character: &str,
        _before: &Query,
        _next: &Query,
    ) -> Result<Option<Exchange>> {
        Ok(None)
    }

    /// Labels a reply: contradicted by the statement, neutral to it, or entailed.
    fn nli(
        &self,
        character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>>;

    /// Returns a question's topic, whatever its wording: questions with one topic are never split between training and
    /// evaluation.
    ///
    /// The default is the question's words without the character's name, so that only punctuation and case may differ.
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

    /// Returns the data that judges are fine-tuned on, if it exists already.
    fn examples(&self) -> Option<Examples> {
        None
    }

    /// How many times to call [`Teacher::queries`] for each statement.
    fn rounds(&self) -> u64;

    /// How many tasks to run at once.
    fn concurrency(&self) -> usize {
        1
    }

    /// Returns how many tasks were asked since the last call, and which answers could not be used.
    fn take_outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// Estimates the requests for a page, for conversations of up to so many turns and, if judges are fine-tuned, for their data; `None`
    /// for rules.
    fn plan(
        &self,
        _character: &str,
        _page: &str,
        _fine_tunes: bool,
        _turns: usize,
    ) -> Option<Plan> {
        None
    }

    /// Frees memory that is not needed until the next task.
    fn rest(&self) {}

    /// Returns the requests and tokens used, if the teacher is a chat model.
    fn usage(&self) -> Option<chat::Usage> {
        None
    }
}

/// The data that judges are fine-tuned on.
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

/// The outcome of a teacher's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many tasks there were.
    pub asked: usize,
    /// Those whose answers could not be used.
    pub rejected: Vec<Rejected>,
    /// Parts of answers that were left out while the rest is used.
    pub dropped: Vec<Rejected>,
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
    /// Why the answer was rejected.
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
