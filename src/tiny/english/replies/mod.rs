//! Replies whose label is known: entailed by a statement, contradicting it, or neutral to it.
//!
//! `answers` repeats the statement in the first person (`said`), negates it (`negate`), or swaps a word or a name for another of its kind
//! (`swap`, `renames`); `evasion` writes neutral replies. Nothing here reads pages or asks questions.

pub(super) mod answers;
pub(super) mod evasion;
pub(super) mod negate;
pub(super) mod renames;
pub(super) mod said;
pub(super) mod swap;
pub(super) mod word;

pub use answers::{agrees, contradicted, entailed};
pub use evasion::neutral;
