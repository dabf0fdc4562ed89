//! The teacher that needs no model and no network: English by rules.
//!
//! It turns a page about a character into persona statements, asks questions whose answer is in a statement, and writes replies that follow
//! from it, contradict it, or leave it alone. It knows word order, agreement and about a thousand verbs; it does not know what words mean.
//! Everything is deterministic for a seed, and the time is linear in the length of the page.
//!
//! # Limits
//!
//! - English only. A page in another language gives few statements or none.
//! - Pronouns are resolved by gender, grammar and the subject of the sentence before. Where someone else may be meant, the sentence is dropped
//!   rather than guessed at, so prose gives fewer statements than it has facts; a few are still attributed wrongly.
//! - What is in parentheses, quotations of more than four words, questions, and sentences that point to an earlier one (`It was …`) are lost.
//!   Long sentences are split, and lose their side clauses above 30 words. `X is a … who …` is split where it is surely X who does it.
//! - A noun that looks like a verb may be taken for one (`her work takes`), most often in long noun phrases and after lists. The question or the
//!   reply is then clumsy; a clause that is not understood gives only open questions.
//! - Statements keep the tense of the page, so fiction told in the present gives questions in the present (`Do you buy a cat?`).
//! - A contradiction swaps one word for another of its kind where a list has it, else negates the verb. The result can be odd (`young maps`),
//!   and a swapped detail may be one that the question did not ask about.
//! - A neutral reply taken from another statement is checked for shared words only.
//! - [`is_relevant`] and [`label`] compare words: paraphrases with other words are taken for irrelevant or neutral.

mod atoms;
mod clause;
mod context;
mod evasion;
mod fields;
mod grammar;
mod judge;
mod lexicon;
mod names;
mod negate;
mod page;
mod people;
mod phrases;
mod profile;
mod pronouns;
mod questions;
mod relevance;
mod renames;
mod replies;
mod sentences;
mod splitting;
mod statements;
mod subject;
mod swap;
mod templates;
mod third;
mod tokens;
mod topics;
mod verbs;
mod voice;
mod wh;
mod wording;

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

/// What a question comes to, however it is put: the topic of an open question, and of others all but the name.
///
/// `Tell me about the sea.` and `What can you tell me about the sea, Alice?` both come to `the sea`.
pub fn matter_of(character: &str, question: &str) -> String {
    questions::matter_of(character, question)
}

/// The statement as the character would say it.
pub fn first_person(character: &str, statement: &str) -> String {
    tokens::join(&voice::to_person(
        &names::Names::new(character).tag(statement),
        voice::Person::First,
    ))
}

/// A reply that follows from the statement.
pub fn entailed(character: &str, statement: &str, question: &str, rng: &mut ChaCha8Rng) -> Reply {
    replies::entailed(character, statement, question, rng)
}

/// A reply that contradicts the statement; `others` are the character's other statements, which may lend a wrong value.
pub fn contradicted(
    character: &str,
    statement: &str,
    question: &str,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Reply {
    replies::contradicted(character, statement, question, others, rng)
}

/// A reply that says nothing for or against the statement.
pub fn neutral(
    character: &str,
    statement: &str,
    question: &str,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Reply {
    evasion::neutral(character, statement, question, others, rng)
}

/// Whether an answer to the question would use the statement.
pub fn is_relevant(character: &str, statement: &str, question: &str) -> bool {
    relevance::is_relevant(character, statement, question)
}

/// What a reply does to the statement, judged by words that agree, oppose or are negated.
pub fn label(character: &str, statement: &str, question: &str, reply: &str) -> Label {
    judge::label(character, statement, question, reply)
}
