//! Bullets: whom and what an item of a list is about.

use std::sync::LazyLock;

use regex::Regex;

use super::blocks::{Block, ends_sentence, field, has_finite_verb, opens_with_verb};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people;
use crate::tiny::english::words::sentences::regex;
use crate::tiny::english::words::tokens::{self, Token, tokenize};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording;

// `Maja – her sister`, in a list of people.
static RELATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(\p{Lu}[\w'’-]*(?: \p{Lu}[\w'’-]*){0,2})\s*(?: – |:)\s*(?:[Hh]er|[Hh]is|[Tt]heir|[Mm]y|[Yy]our)\s+(.+)$",
    )
});

/// The list that bullets belong to.
#[derive(Default)]
pub(crate) struct List {
    /// The line before it that announces it.
    pub heading: Option<String>,
    /// The field whose bullets are indented below it.
    pub parent: Option<String>,
    pub indent: usize,
}

/// What a bullet says: of the character, of the field that it is indented below, or under the list's heading.
pub(crate) fn item(character: &str, line: String, indent: usize, list: &mut List) -> Block {
    if indent <= list.indent {
        list.parent = None;
    }
    let nested = list.parent.is_some();
    let of_people = list.heading.as_deref().is_some_and(is_of_people);
    if of_people && let Some(relation) = RELATION.captures(&line) {
        let (name, what) = (&relation[1], &relation[2]);
        return Block::Prose(format!("{name} is {} {what}", wording::genitive(character)));
    }
    if let Some((name, text)) = field(&line) {
        if !nested {
            (list.parent, list.indent) = (Some(name.clone()), indent);
        }
        return match text.is_empty() {
            true => {
                list.heading = Some(name.clone());
                list.parent = None;
                Block::Heading(name)
            }
            // `Sister: Maja` with `Age: 7` indented below it: the age is not the character's.
            false
                if nested
                    && list
                        .parent
                        .as_deref()
                        .is_some_and(people::is_person_word_of) =>
            {
                Block::Unread(line)
            }
            false => Block::Field { name, text },
        };
    }
    let tokens = tokenize(&line);
    let words = tokens::n_words(&tokens);
    let adverbs = tokens
        .iter()
        .take_while(|token| verbs::is_adverb(&token.lower));
    let predicate = opens_with_verb(&tokens[adverbs.count()..]);
    let name = match &list.parent {
        Some(parent) => parent.clone(),
        None if describes(&tokens) => String::new(),
        None => list.heading.as_deref().map_or_else(String::new, name_of),
    };
    // `wife: Hilda` with `nurse` below it.
    if nested && !predicate && people::is_person_word_of(&name) {
        return Block::Unread(line);
    }
    let fragment = words <= 30 && (!ends_sentence(&line) && words <= 12 || predicate);
    if fragment && (predicate || !has_finite_verb(&line)) {
        // What someone does is the character's deed whatever the heading, unless that is a person.
        let name = match nested || people::is_person_word_of(&name) {
            false if predicate => String::new(),
            _ => name,
        };
        return Block::Field { name, text: line };
    }
    Block::Prose(line)
}

/// Whether a heading announces people and what they are to the character.
fn is_of_people(heading: &str) -> bool {
    const PEOPLE: [&str; 10] = [
        "relationship",
        "relation",
        "family",
        "friend",
        "people",
        "allies",
        "enemies",
        "connection",
        "acquaintance",
        "companion",
    ];
    let heading = heading.to_lowercase();
    PEOPLE.iter().any(|word| heading.contains(word))
}

/// The name of the field that stands under a heading, which is empty if the heading says nothing of it.
pub(crate) fn name_of(heading: &str) -> String {
    match says_nothing(heading) {
        true => String::new(),
        false => heading.to_owned(),
    }
}

/// Whether a heading announces facts of any kind.
fn says_nothing(heading: &str) -> bool {
    const ANY: [&str; 24] = [
        "about",
        "basics",
        "biography",
        "background",
        "facts",
        "fun facts",
        "trivia",
        "notes",
        "overview",
        "info",
        "information",
        "details",
        "life",
        "misc",
        "miscellaneous",
        "other",
        "profile",
        "quick facts",
        "history",
        "summary",
        "character",
        "description",
        "general",
        "backstory",
    ];
    let heading = heading.to_lowercase();
    ANY.contains(&heading.as_str()) || heading.contains(" life") || heading.starts_with("early ")
}

/// Whether an item tells what the character is or lacks, under whatever heading: `Left-handed`, `Loyal to his clan`, `No sense of smell`.
fn describes(tokens: &[Token]) -> bool {
    let Some(first) = tokens.first() else {
        return false;
    };
    first.is("no")
        || first.text.contains('-') && first.lower.ends_with("ed") && tokens.len() == 1
        || grammar::is_adjective(&first.lower)
            && tokens
                .get(1)
                .is_some_and(|next| next.is_any(&["to", "of", "about"]))
}
