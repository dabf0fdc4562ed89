//! Parses a clause: subject, verb, phrases, whom names and pronouns refer to; and rewrites it in another grammatical person.
//!
//! Everything works on [`tokens`](super::words::tokens) in which the mentions of the character are marked. Nothing here knows
//! pages, questions or replies.

pub(super) mod case;
pub(super) mod inflection;
pub(super) mod main;
pub(super) mod names;
pub(super) mod phrases;
pub(super) mod possessive;
pub(super) mod predicates;
pub(super) mod pronouns;
pub(super) mod subject;
pub(super) mod voice;

pub(crate) use main::{Clause, Subject, parse};
pub use voice::first_person;
