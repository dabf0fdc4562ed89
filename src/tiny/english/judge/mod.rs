//! Rule-based judges: is a statement relevant to a question (`relevance`), and does a reply follow from it (`label`)?
//!
//! They compare words. Nothing here writes text.

pub(super) mod label;
pub(super) mod relevance;

pub use label::label;
pub use relevance::is_relevant;
