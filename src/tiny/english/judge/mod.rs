//! Judging by words: whether a question wants a statement (`relevance`), and what a reply does to one (`label`).
//!
//! Nothing here writes text.

pub(super) mod label;
pub(super) mod relevance;

pub use label::label;
pub use relevance::is_relevant;
