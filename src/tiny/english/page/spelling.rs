//! The character's name, which a page may spell with accents or a hyphen that the user left out.

use std::borrow::Cow;

use regex::Captures;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::pattern::pattern;

pattern!(WORD, r"\p{Lu}[\p{L}\p{M}]*(?:-[\p{L}\p{M}]+)*");

/// A word in small letters, without accents and hyphens.
pub(super) fn bare(word: &str) -> String {
    let letters = word.nfd().filter(|c| !is_combining_mark(*c) && *c != '-');
    letters.flat_map(char::to_lowercase).collect()
}

/// The page with the character's name as the user spells it: `Ruzena` for `Růžena`, `Soonja` for `Soon-ja`.
///
/// Where the page has a name both ways, the other spelling is something else: Rose likes `Rosé`.
pub(super) fn with_own_spelling<'a>(character: &str, page: &'a str) -> Cow<'a, str> {
    let is_there = |name: &&str| {
        let mut words = WORD.find_iter(page);
        words.any(|word| word.as_str().to_lowercase() == name.to_lowercase())
    };
    let own: Vec<(String, &str)> = character
        .split_whitespace()
        .filter(|name| !is_there(name))
        .map(|name| (bare(name), name))
        .collect();
    WORD.replace_all(page, |found: &Captures<'_>| {
        let spelt = bare(&found[0]);
        match own.iter().find(|(name, _)| *name == spelt) {
            Some((_, name)) if !found[0].contains(char::is_lowercase) => name.to_uppercase(),
            Some((_, name)) => name.to_string(),
            None => found[0].to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelt_as_the_user_spells_it() {
        for (character, page, expected) in [
            (
                "Ruzena",
                "Růžena flies. Růžena's balloon",
                "Ruzena flies. Ruzena's balloon",
            ),
            ("Soonja", "Soon-ja: I dive.", "Soonja: I dive."),
            ("Soonja", "Soon-Ja dives.", "Soonja dives."),
            ("Soon-ja", "Soonja dives.", "Soon-ja dives."),
            ("Rose", "Rose likes Rosé.", "Rose likes Rosé."),
            (
                "Ana Garcia",
                "Ana García, an annual guest",
                "Ana Garcia, an annual guest",
            ),
            (
                "Mira",
                "MIRA, mira and Mirá-like",
                "MIRA, mira and Mirá-like",
            ),
            ("Zoe", "Zoë, ZOË", "Zoe, ZOE"),
        ] {
            assert_eq!(with_own_spelling(character, page), expected);
        }
    }
}
