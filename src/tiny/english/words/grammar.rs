//! Classes of words: prepositions, determiners, adjectives, plurals.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::lexicon::{
    ADJECTIVES, DETERMINERS, IRREGULAR_PLURALS, PREPOSITIONS, S_SINGULARS, SUBORDINATORS, set_of,
};
use super::verbs::{self, ING};

static PREPOSITION_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(PREPOSITIONS));
static SUBORDINATOR_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(SUBORDINATORS));
static DETERMINER_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(DETERMINERS));
static ADJECTIVE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(ADJECTIVES));
static PLURAL_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(IRREGULAR_PLURALS));
pub(crate) static SINGULAR_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(S_SINGULARS));

/// Whether the word is a preposition.
pub(crate) fn is_preposition(lower: &str) -> bool {
    PREPOSITION_SET.contains(lower)
}

/// Whether the word begins a subordinate clause.
pub(crate) fn is_subordinator(lower: &str) -> bool {
    SUBORDINATOR_SET.contains(lower)
}

/// Whether the word is an article, a numeral or the like.
pub(crate) fn is_determiner(lower: &str) -> bool {
    DETERMINER_SET.contains(lower)
}

/// Whether the word is a known adjective.
pub(crate) fn is_adjective(lower: &str) -> bool {
    ADJECTIVE_SET.contains(lower)
        || (lower.len() > 5
            && [
                "ous", "ful", "less", "ish", "ive", "ical", "able", "ible", "stic", "etic",
            ]
            .iter()
            .any(|end| lower.ends_with(end))
            && !lower.ends_with("ness")
            && !verbs::is_base(lower)
            && !matches!(
                lower,
                "english"
                    | "detective"
                    | "relative"
                    | "motive"
                    | "vegetable"
                    | "archive"
                    | "polish"
            ))
}

/// Whether the noun is a plural.
pub(crate) fn is_plural(lower: &str) -> bool {
    PLURAL_SET.contains(lower)
        || matches!(
            lower,
            "lyrics"
                | "critics"
                | "mechanics"
                | "clinics"
                | "topics"
                | "fabrics"
                | "relics"
                | "comics"
                | "picnics"
        )
        || (lower.len() > 3
            && lower.ends_with('s')
            && !lower.ends_with("ss")
            && !lower.ends_with("us")
            && !lower.ends_with("is")
            && !lower.ends_with("ics")
            && !SINGULAR_SET.contains(lower))
}

/// Whether the word may open a phrase before the subject.
pub(crate) fn is_intro_word(lower: &str) -> bool {
    is_preposition(lower)
        || is_subordinator(lower)
        || verbs::known(lower).is_some_and(|(_, forms)| forms & ING != 0)
        || matches!(
            lower,
            "to" | "due"
                | "even"
                | "early"
                | "later"
                | "late"
                | "deep"
                | "when"
                | "thanks"
                | "prior"
                | "born"
                | "trained"
                | "raised"
                | "known"
                | "according"
                | "only"
        )
}
