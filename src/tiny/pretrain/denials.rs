//! Whether a text says that something is not so.

use super::words::hyphenated_words;

/// Denials outside the verb: "has no brothers".
const BESIDE_THE_VERB: [&str; 11] = [
    "no", "no-one", "nobody", "nothing", "none", "neither", "nor", "nowhere", "hardly", "rarely",
    "seldom",
];
/// Denials of the verb, and "without". "t" is what [`hyphenated_words`] leaves of "n't", but not of "T-shirt".
const OF_THE_VERB: [&str; 5] = ["not", "never", "cannot", "without", "t"];

/// Whether a text says that something is not so.
pub(super) fn denies(text: &str) -> bool {
    denies_beside_the_verb(text) || has_any(text, &OF_THE_VERB)
}

/// Whether a text denies something by another word than the verb, so that "yes" and "no" to a question about it would be unclear.
pub(super) fn denies_beside_the_verb(text: &str) -> bool {
    has_any(text, &BESIDE_THE_VERB)
}

fn has_any(text: &str, list: &[&str]) -> bool {
    hyphenated_words(text).any(|word| list.contains(&word.to_lowercase().as_str()))
}
