//! Replies whose label is known: in line with a statement, against it, or beside it.
//!
//! Words of the statement are said in the first person, negated, or swapped for others of their kind.

pub(super) mod answers;
pub(super) mod evasion;
pub(super) mod negate;
pub(super) mod renames;
pub(super) mod said;
pub(super) mod swap;
pub(super) mod word;

pub use answers::{contradicted, entailed};
pub use evasion::neutral;
