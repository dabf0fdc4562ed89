//! Judging by words: whether a question wants a statement, and what a reply does to one.

pub(super) mod label;
pub(super) mod relevance;

pub use label::label;
pub use relevance::is_relevant;
