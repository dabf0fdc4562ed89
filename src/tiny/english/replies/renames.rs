//! Names put in the place of others: a person for a person, a place for a place.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::word::Swap;
use crate::tiny::english::words::lexicon::{self, FEMALE, KINDS, MALE};
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::tokens::{self, Token, capitalized, tokenize};

/// How many tokens of a proper name stand at `at`; none at the head of the sentence.
pub(crate) fn name_length(tokens: &[Token], at: usize) -> usize {
    let is_name = |token: &Token| {
        token.is_capital()
            && token.is_word()
            && !token.me
            && !token.is("i")
            && !lexicon::is_proper(&token.lower)
            && token.text.chars().count() > 1
    };
    if at == 0 || !tokens.get(at).is_some_and(is_name) {
        return 0;
    }
    let mut end = at;
    while tokens.get(end).is_some_and(|token| {
        is_name(token)
            || (end > at
                && matches!(token.lower.as_str(), "van" | "von" | "de")
                && tokens.get(end + 1).is_some_and(is_name))
    }) {
        end += 1;
    }
    end - at
}

pub(crate) fn other_name(
    character: &str,
    tokens: &[Token],
    range: std::ops::Range<usize>,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Option<Swap> {
    let name = &tokens[range.clone()];
    let gender = people::person_gender(name).flatten();
    let person = gender.is_some();
    let genitive = tokens
        .get(range.end)
        .is_some_and(|next| next.is_genitive() || next.is("of"));
    let known = name.len() == 1 && lexicon::is_city(&name[0].lower);
    let place = (known || range.start > 0 && tokens[range.start - 1].is_any(&["in", "at", "near"]))
        && !person
        && !genitive;
    if !person && !place {
        return None;
    }
    let mut candidates: Vec<String> = Vec::new();
    let sentence = tokens;
    for other in others.iter().take(60) {
        let tokens = tokenize(other);
        let mut at = 1;
        while at < tokens.len() {
            let length = name_length(&tokens, at);
            let found = &tokens[at..at + length];
            let found_gender = if length > 0 {
                people::person_gender(found).flatten()
            } else {
                None
            };
            let located = tokens[at - 1].is_any(&["in", "at", "near"]);
            let shared = found.iter().any(|token| {
                sentence.iter().any(|other| other.text == token.text)
                    || character.contains(token.text.as_str())
            });
            let followed = tokens
                .get(at + length)
                .is_some_and(|next| next.is_genitive() || next.is("of"));
            let same = found_gender.is_some() && found_gender == gender;
            if length > 0
                && !shared
                && !followed
                && ((person && same) || (place && located && found_gender.is_none()))
            {
                candidates.push(tokens::join(found));
            }
            at += length.max(1);
        }
    }
    if candidates.is_empty() || rng.random_bool(0.4) {
        let pool: Vec<&str> = match gender {
            Some(Gender::He) => MALE.split_whitespace().take(120).collect(),
            Some(_) => FEMALE.split_whitespace().take(120).collect(),
            None => KINDS
                .iter()
                .find(|kind| kind.starts_with("paris"))
                .map_or_else(Vec::new, |kind| kind.split_whitespace().collect()),
        };
        candidates = pool
            .into_iter()
            .filter(|word| {
                !tokens.iter().any(|token| token.is(word))
                    && !character.to_lowercase().contains(word)
            })
            .map(capitalized)
            .collect();
    }
    let text = candidates.choose(rng)?.clone();
    let text = if name.len() > 1
        && person
        && !text.contains(' ')
        && name
            .last()
            .is_some_and(|last| Gender::of_word(&last.lower).is_none())
    {
        format!("{text} {}", name[name.len() - 1].text)
    } else {
        text
    };
    Some(Swap { range, text })
}
