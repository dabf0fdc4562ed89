//! The teacher that needs no model and no network: English by rules.
//!
//! It turns a page about a character into persona statements, asks questions whose answer is in a statement, and writes replies that follow
//! from it, contradict it, or leave it alone. It knows a few hundred verbs, word order and agreement; it understands no meaning. Everything is
//! deterministic for a seed.

mod clause;
mod fields;
mod judge;
mod lexicon;
mod names;
mod page;
mod phrases;
mod profile;
mod questions;
mod replies;
mod statements;
mod swap;
mod tokens;
mod verbs;
mod voice;

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

/// What a reply does to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// The reply and the statement cannot both be true.
    Contradicted,
    /// The reply says nothing for or against the statement.
    Neutral,
    /// The reply follows from the statement.
    Entailed,
}

/// A reply, and which of its words disagree with the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The words of the character.
    pub text: String,
    /// Byte ranges of `text`, one per word that disagrees, in order.
    pub changed: Vec<Range<usize>>,
}

/// Persona statements of a page: one sentence each, with the character's name, in the order of the page.
pub fn statements(character: &str, page: &str) -> Vec<String> {
    statements::statements(character, page)
}

/// Three different questions to the character whose answer is in the statement.
pub fn questions(character: &str, statement: &str, rng: &mut ChaCha8Rng) -> Vec<String> {
    questions::questions(character, statement, rng)
}

/// The statement as the character would say it.
pub fn first_person(character: &str, statement: &str) -> String {
    tokens::join(&voice::to_person(&names::Names::new(character).tag(statement), voice::Person::First))
}

/// A reply that follows from the statement.
pub fn entailed(character: &str, statement: &str, question: &str, rng: &mut ChaCha8Rng) -> Reply {
    replies::entailed(character, statement, question, rng)
}

/// A reply that contradicts the statement; `others` are the character's other statements, which may lend a wrong value.
pub fn contradicted(character: &str, statement: &str, question: &str, others: &[String], rng: &mut ChaCha8Rng) -> Reply {
    replies::contradicted(character, statement, question, others, rng)
}

/// A reply that says nothing for or against the statement.
pub fn neutral(character: &str, statement: &str, question: &str, others: &[String], rng: &mut ChaCha8Rng) -> Reply {
    replies::neutral(character, statement, question, others, rng)
}

/// Whether an answer to the question would use the statement.
pub fn is_relevant(character: &str, statement: &str, question: &str) -> bool {
    judge::is_relevant(character, statement, question)
}

/// What a reply does to the statement, judged by words that agree, oppose or are negated.
pub fn label(character: &str, statement: &str, question: &str, reply: &str) -> Label {
    judge::label(character, statement, question, reply)
}
