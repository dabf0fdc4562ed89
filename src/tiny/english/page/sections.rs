//! What the headings above a line say of it: that it is no fact, or about somebody else.

use std::collections::HashSet;

use super::{lists, talk, templates};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, tokenize};

/// What a heading says of the lines below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Facts about the character.
    Facts,
    /// Somebody or something else: what does not name the character is not about it.
    Other,
    /// No facts: rumours, what is not so or no longer so, plans, other worlds.
    Doubt,
}

/// What a heading says of what stands below it, where the page has `words` in small letters.
pub(crate) fn kind_of(character: &str, heading: &str, words: &HashSet<String>) -> Kind {
    if is_doubtful(heading) {
        return Kind::Doubt;
    }
    let is_own = talk::is_character(character, heading);
    if is_own || templates::is_field_name(heading) || lists::name_of(heading).is_empty() {
        return Kind::Facts;
    }
    let begins = tokenize(heading)
        .first()
        .is_some_and(|first| first.is_any(&["other", "others", "another", "npc", "npcs"]));
    if lists::is_of_people(heading) && !begins {
        return Kind::Facts;
    }
    let last = heading.split(' ').next_back().unwrap_or_default();
    let is_age = matches!(last.to_lowercase().as_str(), "youth" | "child" | "adult");
    let is_ordinary = heading
        .split(' ')
        .any(|word| words.contains(&word.to_lowercase()));
    let is_somebody = people::is_person_word_of(heading)
        || names_somebody(heading)
        || lists::is_proper(heading) && !is_ordinary;
    let is_somebody = is_somebody && !is_age;
    match begins || is_somebody {
        true => Kind::Other,
        false => Kind::Facts,
    }
}

/// Whether a heading says that what it announces is not so, not sure or not yet so: `Rumours`, `Can't`, `Used to be`, `Goals`.
pub(crate) fn is_doubtful(heading: &str) -> bool {
    const NO_FACTS: [&str; 40] = [
        "rumour",
        "rumours",
        "rumor",
        "rumors",
        "gossip",
        "hearsay",
        "false",
        "untrue",
        "lie",
        "lies",
        "myth",
        "myths",
        "misconception",
        "misconceptions",
        "allegations",
        "legend",
        "legends",
        "theory",
        "theories",
        "speculation",
        "disputed",
        "possible",
        "unused",
        "deleted",
        "removed",
        "cut",
        "alternate",
        "alternative",
        "au",
        "if",
        "dream",
        "dreams",
        "goal",
        "goals",
        "plans",
        "ideas",
        "think",
        "thinks",
        "believe",
        "believes",
    ];
    takes_back(heading)
        || tokenize(heading)
            .iter()
            .any(|token| token.is_any(&NO_FACTS))
}

/// Whether words take back what others say, or leave it open: `not`, `former`, `allegedly`, what stands in parentheses.
pub(crate) fn takes_back(text: &str) -> bool {
    const WORDS: [&str; 44] = [
        "not",
        "no",
        "non",
        "never",
        "nothing",
        "nobody",
        "none",
        "neither",
        "nor",
        "cannot",
        "without",
        "except",
        "unless",
        "hardly",
        "rarely",
        "seldom",
        "former",
        "formerly",
        "ex",
        "previously",
        "used",
        "rumoured",
        "rumored",
        "alleged",
        "allegedly",
        "claim",
        "claims",
        "claimed",
        "supposed",
        "supposedly",
        "unconfirmed",
        "maybe",
        "perhaps",
        "possibly",
        "probably",
        "say",
        "says",
        "said",
        "but",
        "only",
        "sometimes",
        "was",
        "were",
        "had",
    ];
    let is_unknown = text.trim().eq_ignore_ascii_case("unknown");
    let negates = |token: &Token| token.is_any(&WORDS) || token.lower.ends_with("n't");
    is_unknown || text.contains(['(', '?']) || tokenize(text).iter().any(negates)
}

/// `Her brother Kesh`, `King Oren`: a person with a name.
fn names_somebody(heading: &str) -> bool {
    let tokens = tokenize(heading);
    let last_is_name = tokens.len() > 1
        && tokens
            .last()
            .is_some_and(|last| last.is_capital() && last.is_word());
    last_is_name
        && tokens
            .iter()
            .any(|token| people::is_person_word(&token.lower))
}
