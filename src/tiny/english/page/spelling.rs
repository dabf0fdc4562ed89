//! The character's name, which a page may spell with other accents or hyphens than the user.

use std::borrow::Cow;
use std::collections::BTreeSet;

use deunicode::deunicode;
use regex::Captures;
use unicode_normalization::UnicodeNormalization;

use crate::pattern::pattern;

pattern!(WORD, r"\p{Lu}[\p{L}\p{M}]*(?:-[\p{L}\p{M}]+)*");

/// A word in lower case, in letters of ASCII (`bjorn` for `Bjørn`) and without hyphens.
pub(super) fn bare(word: &str) -> String {
    deunicode(word).replace('-', "").to_lowercase()
}

/// The page with the character's name as the user spells it: `Ruzena` for `Růžena`, `Soonja` for `Soon-ja`.
///
/// A name is respelt only if the page has one spelling of it alone and this is not the user's: with several, as where Rose likes `Rosé`,
/// they may be different people or things.
pub(super) fn with_own_spelling<'a>(character: &str, page: &'a str) -> Cow<'a, str> {
    let lower = |word: &str| word.nfc().flat_map(char::to_lowercase).collect::<String>();
    let is_spelt_otherwise = |name: &&str| {
        let words = WORD.find_iter(page).map(|word| word.as_str());
        let spellings = words.filter(|word| bare(word) == bare(name)).map(lower);
        let spellings: BTreeSet<String> = spellings.collect();
        spellings.len() == 1 && !spellings.contains(&lower(name))
    };
    let respelt: Vec<(String, &str)> = character
        .split_whitespace()
        .filter(is_spelt_otherwise)
        .map(|name| (bare(name), name))
        .collect();
    if respelt.is_empty() {
        return page.into();
    }
    WORD.replace_all(page, |found: &Captures<'_>| {
        let spelt = bare(&found[0]);
        match respelt.iter().find(|(name, _)| *name == spelt) {
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
            // With the accent as a letter of its own.
            ("Rosé", "Rose\u{301} likes Rose.", "Rose\u{301} likes Rose."),
            ("Anna", "Änna hates Ånna.", "Änna hates Ånna."),
            (
                "Ana Garcia",
                "Ana García, an annual guest",
                "Ana Garcia, an annual guest",
            ),
            (
                "Mira",
                "Míra, míra and Míra-like",
                "Mira, míra and Míra-like",
            ),
            ("Zoe", "Zoë, ZOË", "Zoe, ZOE"),
            ("Bjorn", "Bjørn's boat", "Bjorn's boat"),
            ("Lukasz", "Łukasz sings.", "Lukasz sings."),
        ] {
            assert_eq!(with_own_spelling(character, page), expected);
        }
    }
}
