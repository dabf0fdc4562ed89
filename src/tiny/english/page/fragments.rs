//! Statements from pieces without the name of a field: parentheses behind a name, `Afraid of dogs`, `Left-handed`.

use super::templates::from_template;
use super::values::listed;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::predicates::from_predicate;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, tokenize};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording::{decapitalized, genitive};

/// The statement that parentheses make about the character whose name stands before them: `born in 1990`, `34`, `who is 34`, `a nurse`.
pub(crate) fn of_aside(names: &Names, text: &str) -> Option<String> {
    let name = &names.character;
    let text = text.trim_end_matches(['.', '!', ';']);
    let text = text.strip_prefix("who ").unwrap_or(text);
    let age = text
        .strip_prefix("age ")
        .or_else(|| text.strip_prefix("aged "))
        .unwrap_or(text);
    if age.len() <= 3 && age.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("{name} is {age} years old."));
    }
    if let Some(when) = text.strip_prefix("born ") {
        return from_template(names, "born", when);
    }
    let tokens = tokenize(text);
    let is_noun = tokens.len() > 1 && tokens[0].is_any(&["a", "an"]);
    match is_noun {
        true => Some(format!("{name} is {text}.")),
        false => from_predicate(name, text),
    }
}

/// The statement that parentheses behind a field's text make: the age behind a day of birth, what a relative is.
pub(crate) fn of_aside_in(names: &Names, field: &str, text: &str) -> Option<String> {
    let key = field.to_lowercase();
    if matches!(
        key.as_str(),
        "born" | "birthday" | "birth date" | "date of birth"
    ) {
        return text
            .starts_with("age")
            .then(|| of_aside(names, text))
            .flatten();
    }
    let is_relative = people::is_person_word_of(&key) && !grammar::is_plural(&key);
    let is_noun = text.starts_with("a ") || text.starts_with("an ");
    (is_relative && is_noun).then(|| format!("{} {key} is {text}.", genitive(&names.character)))
}

/// `Allergic to cats, afraid of dogs.`
pub(crate) fn from_feeling(name: &str, text: &str) -> Option<String> {
    let tokens = tokenize(text.trim_end_matches('.'));
    let is_open = tokens
        .get(1)
        .is_some_and(|next| next.is_any(&["to", "of", "at", "with", "about"]));
    let opens = is_open && (feels(&tokens[0]) || grammar::is_adjective(&tokens[0].lower));
    let is_clause = |token: &Token| {
        verbs::is_auxiliary(&token.lower) || token.is_in("he she they i we it you who but not")
    };
    (opens && !tokens.iter().any(is_clause))
        .then(|| format!("{name} is {}.", decapitalized(&tokens)))
}

fn feels(token: &Token) -> bool {
    token.is_in("scared frightened terrified allergic fond hopeless")
}

/// `Left-handed`, `Loyal to his clan`, `No sense of smell`, from a list without a heading.
pub(super) fn from_fragment(names: &Names, text: &str) -> Option<String> {
    let name = &names.character;
    let tokens = tokenize(text);
    let first = tokens.first()?;
    let low = decapitalized(&tokens);
    if text.ends_with(" years old") && tokens.len() == 3 {
        return Some(format!("{name} is {low}."));
    }
    // `40-year-old`
    if let Some(age) = first.lower.strip_suffix("-year-old")
        && tokens.len() == 1
    {
        return Some(format!("{name} is {age} years old."));
    }
    let last = tokens.iter().rev().find(|token| token.is_word())?;
    let describes = (feels(first) || grammar::is_adjective(&first.lower))
        && (tokens.len() == 1
            || grammar::is_preposition(&tokens[1].lower)
            || tokens[1].is_any(&["and", ",", "but", "to"])
            || tokens.iter().all(|token| {
                !token.is_word()
                    || grammar::is_adjective(&token.lower)
                    || verbs::is_adverb(&token.lower)
            }));
    let compound = tokens.len() == 1 && first.text.contains('-') && first.lower.ends_with("ed");
    if first.is("no") && tokens.len() > 1 {
        return Some(format!("{name} has {low}."));
    }
    let is_listed = tokens
        .iter()
        .all(|token| !token.is_word() || grammar::is_adjective(&token.lower));
    if is_listed && tokens.len() > 1 {
        return Some(format!("{name} is {}.", listed("personality", text)));
    }
    let somebody = first.is_any(&["a", "an", "the"]) && people::is_person_word(&last.lower);
    (describes || compound || somebody).then(|| format!("{name} is {low}."))
}
