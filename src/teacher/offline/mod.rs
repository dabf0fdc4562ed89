//! x
mod clause;
mod lexicon;
mod names;
mod tokens;
mod verbs;
mod voice;
