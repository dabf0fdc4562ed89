//! The text of a field: lists, names, and words that describe.

use std::borrow::Cow;

use super::{lists, sections};
use crate::pattern::pattern;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, tokenize};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording::decapitalized;

// What parts the items of a list beside a comma.
pattern!(ITEM_MARK, r"\s*[|•·]\s*|\s+\+\s+");

/// Writes commas between the items of `kind + shy`, `chess • cello` or `kind|shy`.
pub(crate) fn with_commas(text: &str) -> Cow<'_, str> {
    ITEM_MARK.replace_all(text, ", ")
}

/// Whether the field lists names or languages, each of which keeps its capital letter.
fn lists_names(key: &str) -> bool {
    matches!(key, "languages" | "language" | "nicknames" | "aliases")
}

/// A list without `and` gets one; its items are ordinary words and begin with small letters unless they are names.
pub(crate) fn listed(key: &str, text: &str) -> String {
    let text = &text.replace(" / ", ", ");
    let items: Vec<&str> = text.split(", ").collect();
    let whole = keeps_capital(key) && !lists_names(key);
    let plain = items.iter().all(|item| {
        item.split(' ').count() <= 4
            && !item.starts_with("a ")
            && !item.starts_with("an ")
            && !item.starts_with("the ")
    }) && !text.chars().any(|c| c.is_ascii_digit());
    if items.len() < 2
        || !plain
        || whole
        || text.contains(" and ")
        || text.contains(" or ")
        || key == "motto"
    {
        return text.to_owned();
    }
    let items: Vec<String> = items.iter().map(|item| within_list(key, item)).collect();
    let (front, last) = items.split_at(items.len() - 1);
    let comma = if items.len() > 2 { "," } else { "" };
    format!("{}{comma} and {}", front.join(", "), last[0])
}

/// An item of a list, with a small first letter where that is no name.
fn within_list(key: &str, item: &str) -> String {
    let tokens = tokenize(item);
    let Some(first) = tokens.first() else {
        return item.to_owned();
    };
    let ordinary = is_describing(key)
        || verbs::can_be(&first.lower, verbs::ING)
        || grammar::is_adjective(&first.lower)
        || grammar::is_determiner(&first.lower)
        || lexicon::is_common(&first.lower)
        || tokens.len() > 1
            && tokens[1..]
                .iter()
                .all(|token| token.is_word() && !token.is_capital());
    match ordinary && !lists_names(key) {
        true => decapitalized(&tokens),
        false => item.to_owned(),
    }
}

/// Whether the field holds the name of a person, a place or the like.
pub(crate) fn keeps_capital(key: &str) -> bool {
    const PROPER: &[&str] = &[
        "hometown",
        "origin",
        "from",
        "home",
        "town",
        "country",
        "residence",
        "lives",
        "location",
        "city",
        "address",
        "birthplace",
        "place",
        "born",
        "birth",
        "birthday",
        "school",
        "university",
        "education",
        "language",
        "languages",
        "band",
        "team",
        "company",
        "employer",
        "book",
        "books",
        "novel",
        "novels",
        "film",
        "films",
        "movie",
        "movies",
        "song",
        "album",
        "ship",
        "house",
        "nationality",
        "ethnicity",
        "religion",
        "nickname",
        "nicknames",
        "names",
        "alias",
        "aliases",
        "surname",
        "name",
        "motto",
        "catchphrase",
        "slogan",
        "family",
        "relatives",
        "siblings",
        "children",
        "friends",
        "enemies",
        "rivals",
        "allies",
        "pets",
        "pet",
    ];
    key.split_whitespace()
        .any(|word| PROPER.contains(&word) || people::is_person_word(word))
}

pub(crate) fn is_describing(key: &str) -> bool {
    matches!(
        key,
        "personality"
            | "traits"
            | "character"
            | "personality traits"
            | "mind"
            | "temperament"
            | "attitude"
            | "description"
            | "nature"
            | "characteristics"
            | "appearance"
            | "demeanor"
            | "demeanour"
            | "mood"
            | "looks"
            | "build"
    )
}

pub(crate) fn all_adjectives(tokens: &[Token]) -> bool {
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let Some(last) = words.last() else {
        return false;
    };
    let noun = words.iter().any(|token| {
        grammar::is_plural(&token.lower)
            || (grammar::is_determiner(&token.lower))
            || grammar::is_preposition(&token.lower)
    });
    let listed = words.len() == 1
        || tokens
            .iter()
            .any(|token| token.is_any(&[",", "and", "but"]))
        || grammar::is_adjective(&last.lower);
    !noun && listed
}

/// Whether a value is words and commas, none of which takes back what another says: not `everything but fish`, `red/brown` or `5?`.
pub(crate) fn is_plain(value: &str) -> bool {
    let is_mark = |c: char| !c.is_alphanumeric() && !" ,.'-&%°\"".contains(c);
    !value.contains(is_mark) && !sections::takes_back(value)
}

/// Whether what somebody does may stand behind the name of a field: `Habits: hums at work`, but not `Hair: was black`.
pub(crate) fn takes_predicates(key: &str) -> bool {
    const NAMES: &str = "talent talents habit habits skill skills ability abilities quirk quirks hobby hobbies interests \
        behaviour behavior strengths weaknesses flaws routine work mannerisms clothes";
    key.is_empty()
        || lists::name_of(key).is_empty()
        || is_describing(key)
        || NAMES.split_whitespace().any(|name| name == key)
}

/// Whether a field describes the page, not the character.
pub(crate) fn is_metadata(key: &str) -> bool {
    matches!(
        key,
        "quote"
            | "quotes"
            | "source"
            | "sources"
            | "references"
            | "image"
            | "caption"
            | "see also"
            | "pronouns"
            | "tags"
            | "creator"
            | "creator notes"
            | "genre"
            | "links"
            | "title"
            | "layout"
            | "date"
            | "author"
    )
}
