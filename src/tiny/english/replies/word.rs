//! The words of a reply while it is written.

use std::ops::Range;

use crate::tiny::english::words::tokens::Token;

/// A word of a reply, and whether it disagrees with the statement.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub token: Token,
    pub changed: bool,
}

/// The words of a sentence, none changed.
pub(crate) fn words(tokens: &[Token]) -> Vec<Word> {
    tokens
        .iter()
        .map(|token| Word {
            token: token.clone(),
            changed: false,
        })
        .collect()
}

/// A replacement for some tokens.
pub(crate) struct Swap {
    pub range: Range<usize>,
    pub text: String,
}
