//! x
mod clause;
mod fields;
mod lexicon;
mod names;
mod page;
mod profile;
mod statements;
mod tokens;
mod verbs;
mod voice;

/// x
pub fn statements(character: &str, page: &str) -> Vec<String> {
    statements::statements(character, page)
}
