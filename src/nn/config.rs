//! Checks of a model's configuration before a model is built from it.

use std::error::Error;
use std::fmt;

/// A configuration that no model can have, with the field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig(String);

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidConfig {}

impl InvalidConfig {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Checks that no size is zero.
pub(crate) fn check_sizes(sizes: &[(&str, usize)]) -> Result<(), InvalidConfig> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((name, _)) => Err(InvalidConfig::new(format!(
            "{name} is 0, but must be at least 1"
        ))),
    }
}

/// Checks that `total` is a multiple of `parts`, which is not zero.
pub(crate) fn check_multiple(
    (total_name, total): (&str, usize),
    (parts_name, parts): (&str, usize),
) -> Result<(), InvalidConfig> {
    if parts > 0 && total > 0 && total.is_multiple_of(parts) {
        return Ok(());
    }
    Err(InvalidConfig::new(format!(
        "{total_name} is {total}, no multiple of {parts_name}, {parts}"
    )))
}

/// More layers than any model has.
pub(crate) const MOST_LAYERS: usize = 1024;

/// Checks that a model has no more layers than any that was ever made, as each one takes memory before a weight is read.
pub(crate) fn check_layers(num_hidden_layers: usize) -> Result<(), InvalidConfig> {
    if num_hidden_layers <= MOST_LAYERS {
        return Ok(());
    }
    Err(InvalidConfig::new(format!(
        "num_hidden_layers is {num_hidden_layers}, but at most {MOST_LAYERS} are supported"
    )))
}

/// Checks that the id of padding is a row of the table of words.
pub(crate) fn check_pad(pad_token_id: i64, vocab_size: usize) -> Result<(), InvalidConfig> {
    if usize::try_from(pad_token_id).is_ok_and(|id| id < vocab_size) {
        return Ok(());
    }
    Err(InvalidConfig::new(format!(
        "pad_token_id is {pad_token_id}, but must be at least 0 and below vocab_size, {vocab_size}"
    )))
}

/// Checks that values are dropped with a probability of at least 0 and below 1.
pub(crate) fn check_dropout(probabilities: &[f64]) -> Result<(), InvalidConfig> {
    match probabilities.iter().find(|p| !(0.0..1.0).contains(*p)) {
        None => Ok(()),
        Some(p) => Err(InvalidConfig::new(format!(
            "a dropout of {p} is not at least 0 and below 1"
        ))),
    }
}
