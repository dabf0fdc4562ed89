//! Replies whose label is known: in line with a statement, against it, or beside it.
//!
//! `answers` say the words of the statement in the first person (`said`), negated (`negate`), or with a word or a name swapped for another
//! of its kind (`swap`, `renames`); `evasion` leaves the statement alone. Nothing here knows pages or asks questions.

pub(super) mod answers;
pub(super) mod evasion;
pub(super) mod negate;
pub(super) mod renames;
pub(super) mod said;
pub(super) mod swap;
pub(super) mod word;

pub use answers::{contradicted, entailed};
pub use evasion::neutral;
