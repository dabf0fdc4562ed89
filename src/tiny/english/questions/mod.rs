//! Writes questions to the character whose answer is in a statement.
//!
//! `ask` chooses among open questions about the `topics` of a statement, yes/no questions, and those that begin with a question
//! word (`wh`); `form` prepares the clause for them. Nothing here knows pages or replies.

pub(super) mod ask;
pub(super) mod form;
pub(super) mod topics;
pub(super) mod wh;

pub use ask::{matter_of, questions};
