//! Words of a sentence put in another's place, so that it says something else.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::renames::{name_length, other_name};
use super::word::{Swap, Word, words};
use crate::tiny::english::clause::phrases;
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::{self, KINDS, OPPOSITES};
use crate::tiny::english::words::tokens::{Token, capitalized, tokenize};
use crate::tiny::english::words::verbs::{self, BASE, PAST, THIRD};
use crate::tiny::english::words::wording;

/// One key word swapped for another of its kind; `None` when no word has a kind.
pub(crate) fn swapped(
    character: &str,
    tokens: &[Token],
    clause: Option<&Clause>,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Option<Vec<Word>> {
    let from = clause.map_or(0, |clause| {
        if clause.kind == Subject::Mine {
            clause.verb
        } else {
            clause.start
        }
    });
    let other_words: std::collections::HashSet<String> = others
        .iter()
        .flat_map(|other| tokenize(other))
        .map(|token| token.lower)
        .collect();
    let mut swaps: Vec<Swap> = Vec::new();
    let mut at = from;
    while at < tokens.len() {
        let length = name_length(tokens, at);
        if length > 0 {
            swaps.extend(other_name(character, tokens, at..at + length, others, rng));
            at += length;
            continue;
        }
        swaps.extend(other_word(tokens, at, &other_words, rng));
        at += 1;
    }
    let swap = swaps.get(..4.min(swaps.len()))?.choose(rng)?;
    let mut changed: Vec<Word> = words(&tokens[..swap.range.start]);
    if let Some(article) = changed
        .last_mut()
        .filter(|word| word.token.is_any(&["a", "an"]))
    {
        let fitting = wording::article(&swap.text);
        article.token.set(fitting);
    }
    let mut space = tokens[swap.range.start].space;
    for token in tokenize(&swap.text) {
        let token = Token {
            space: space || token.space,
            ..token
        };
        changed.push(Word {
            token,
            changed: true,
        });
        space = false;
    }
    changed.extend(words(&tokens[swap.range.end..]));
    Some(changed)
}

fn other_word(
    tokens: &[Token],
    at: usize,
    other_words: &std::collections::HashSet<String>,
    rng: &mut ChaCha8Rng,
) -> Option<Swap> {
    let token = &tokens[at];
    if !token.is_word() || token.me {
        return None;
    }
    let one = |text: String| {
        Some(Swap {
            range: at..at + 1,
            text,
        })
    };
    if token.is_number() {
        return other_number(token, rng).and_then(one);
    }
    let lower = token.lower.as_str();
    if let Some(opposite) = opposite_of(lower, rng).filter(|_| {
        !tokens
            .get(at + 1)
            .is_some_and(|next| next.is_any(&["name", "school"]))
    }) {
        if verbs::known(lower).is_some_and(|(_, forms)| forms & (BASE | THIRD | PAST) != 0)
            && !is_verb_here(tokens, at)
            && !verbs::can_be(lower, verbs::PARTICIPLE)
        {
            return None;
        }
        if matches!(
            lower,
            "with"
                | "without"
                | "before"
                | "after"
                | "first"
                | "last"
                | "left"
                | "right"
                | "more"
                | "most"
                | "less"
                | "like"
                | "many"
                | "few"
                | "open"
                | "light"
                | "kind"
                | "day"
                | "night"
                | "close"
        ) && !plain_use(tokens, at)
        {
            return None;
        }
        if tokens.iter().any(|token| token.is(opposite)) {
            return None;
        }
        return one(matching_case(token, opposite));
    }
    let fixed = tokens
        .get(at + 1)
        .is_some_and(|next| next.text.starts_with('-'))
        || matches!(
            lower,
            "may" | "march" | "one" | "second" | "court" | "fall" | "spring"
        ) && !(token.is_capital() && at > 0);
    if fixed {
        return None;
    }
    let kind = KINDS.iter().find(|kind| {
        kind.split(' ').any(|word| word == lower)
            && !(verbs::known(lower).is_some_and(|(_, forms)| forms & (BASE | THIRD | PAST) != 0)
                && is_verb_here(tokens, at))
    })?;
    if !fits_kind(kind, tokens, at) {
        return None;
    }
    let options: Vec<&str> = kind
        .split(' ')
        .filter(|word| {
            *word != lower
                && !other_words.contains(*word)
                && !tokens.iter().any(|token| token.is(word))
        })
        .collect();
    let word = options.choose(rng)?;
    one(matching_case(token, word))
}

/// Whether another noun of this kind fits here: not as half of a compound, places only after a determiner.
fn fits_kind(kind: &str, tokens: &[Token], at: usize) -> bool {
    let starts = |words: &[&str]| {
        words
            .iter()
            .any(|word| kind.starts_with(&format!("{word} ")))
    };
    let attributive = starts(&[
        "red", "one", "first", "northern", "french", "monday", "january", "daily", "gold", "north",
        "spring", "france", "paris",
    ]);
    let compound = tokens.get(at + 1).is_some_and(|next| {
        next.is_word()
            && !grammar::is_preposition(&next.lower)
            && !grammar::is_subordinator(&next.lower)
            && !verbs::is_adverb(&next.lower)
            && !verbs::is_auxiliary(&next.lower)
            && !next.is_any(&["and", "or", "but", "to"])
            && !verbs::can_be(&next.lower, verbs::ING | verbs::PARTICIPLE)
    });
    let determined = at > 0
        && (grammar::is_determiner(&tokens[at - 1].lower)
            || is_possessive(tokens, at - 1)
            || at > 1 && grammar::is_determiner(&tokens[at - 2].lower));
    (attributive || !compound)
        && (determined
            || !starts(&[
                "university",
                "city",
                "river",
                "car",
                "novel",
                "accountant",
                "dog",
                "guitar",
            ]))
}

fn is_verb_here(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    before.is_none_or(|before| {
        before.me && !is_possessive(tokens, at - 1) && !before.is_any(&["my", "your"])
            || before.is("to")
            || verbs::is_adverb(&before.lower)
            || before.is_any(&["and", "who", "that", "i", "not"])
    })
}

/// Whether an ambiguous word is an adjective or adverb here.
fn plain_use(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let lower = tokens[at].lower.as_str();
    matches!(lower, "kind" | "light" | "open" | "close")
        && before
            .is_some_and(|before| verbs::is_be(&before.lower) || verbs::is_adverb(&before.lower))
        && !tokens
            .get(at + 1)
            .is_some_and(|next| next.is("of") || next.is("to"))
        || (lower == "like" && is_verb_here(tokens, at))
}

fn opposite_of(lower: &str, rng: &mut ChaCha8Rng) -> Option<&'static str> {
    let found: Vec<&'static str> = OPPOSITES
        .split(", ")
        .filter_map(|pair| {
            let (one, other) = pair.split_once(' ')?;
            if one == lower {
                Some(other)
            } else {
                (other == lower).then_some(one)
            }
        })
        .collect();
    found.choose(rng).copied()
}

fn matching_case(token: &Token, word: &str) -> String {
    if token.is_capital() || (lexicon::is_proper(word) && !lexicon::is_proper(&token.lower)) {
        capitalized(word)
    } else {
        word.to_owned()
    }
}

/// Another number of the same size; a year stays a year.
fn other_number(token: &Token, rng: &mut ChaCha8Rng) -> Option<String> {
    let digits: String = token
        .text
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let rest = &token.text[digits.len()..];
    let number: i64 = digits.parse().ok()?;
    let other = if phrases::is_year(token) {
        let shift = rng.random_range(2..30);
        if rng.random_bool(0.5) {
            number - shift
        } else {
            number + shift
        }
    } else {
        let spread = (number / 2).clamp(3, 1_000_000);
        let shift = rng.random_range(1..=spread);
        if number > shift && rng.random_bool(0.5) {
            number - shift
        } else {
            number + shift
        }
    };
    let suffix = match rest {
        "st" | "nd" | "rd" | "th" => match other % 10 {
            1 if other % 100 != 11 => "st",
            2 if other % 100 != 12 => "nd",
            3 if other % 100 != 13 => "rd",
            _ => "th",
        },
        _ => rest,
    };
    Some(format!("{other}{suffix}"))
}
