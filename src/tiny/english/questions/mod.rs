//! Questions to the character whose answer is in a statement.

pub(super) mod ask;
pub(super) mod form;
pub(super) mod topics;
pub(super) mod wh;

pub use ask::{matter_of, questions};
