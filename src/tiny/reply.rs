//! A reply whose label is known, because rules made it.

use std::ops::Range;

/// A reply made by rules, and which of its words disagree with the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The words of the character.
    pub text: String,
    /// Byte ranges of `text` that disagree, in order: a swapped value, an added or dropped negation.
    pub changed: Vec<Range<usize>>,
}
