//! Single words: word lists, verb forms, parts of speech, people, articles; and text split into tokens and sentences.
//!
//! Nothing here looks at a whole clause or knows a character.

pub(super) mod grammar;
pub(super) mod lexicon;
pub(super) mod people;
pub(super) mod sentences;
pub(super) mod tokens;
pub(super) mod verbs;
pub(super) mod wording;
