//! Noun phrases and adverbial phrases of a clause: what they name, where they end.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use super::main::{self, Clause};
use super::possessive::is_possessive;
use super::subject;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::{self, PLACES, set_of};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{self, Token, join};
use crate::tiny::english::words::verbs::{self, BASE, ING, PARTICIPLE, PAST, THIRD};

/// What a phrase after a preposition tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Place,
    Time,
    Person,
    Thing,
}

static PLACE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(PLACES));

const TIME_WORDS: &str = "january february march april may june july august september october november december monday tuesday wednesday \
    thursday friday saturday sunday age year years month months week weeks day days night nights morning mornings evening \
    evenings afternoon weekend weekends summer winter spring autumn childhood youth century noon midnight hours time";

/// Whether the word is a year.
pub(crate) fn is_year(token: &Token) -> bool {
    token.text.len() == 4
        && token.text.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(token.text.as_bytes()[0], b'1' | b'2')
}

/// Whether the word tells a time.
pub(crate) fn is_time(token: &Token) -> bool {
    is_year(token) || token.is_in(TIME_WORDS)
}

/// The noun phrase that begins at `from`.
pub(crate) fn noun_phrase(tokens: &[Token], from: usize) -> Option<Range<usize>> {
    let mut nouns = 0;
    let mut at = from;
    while at < tokens.len() && at < from + 9 {
        let token = &tokens[at];
        let lower = token.lower.as_str();
        if token.is("of") && nouns > 0 {
            let next = noun_phrase(tokens, at + 1).filter(|next| {
                !(next.len() == 1
                    && verbs::can_be(&tokens[next.start].lower, ING)
                    && tokens
                        .get(next.end)
                        .is_some_and(|after| grammar::is_determiner(&after.lower)))
            });
            return Some(from..next.map_or(at, |next| next.end));
        }
        if token.me
            && at > from
            && !is_possessive(tokens, at)
            && !tokens.get(at + 1).is_some_and(Token::is_genitive)
        {
            break;
        }
        let hyphen_list = token.is(",")
            && nouns == 0
            && at > from
            && grammar::is_adjective(&tokens[at - 1].lower);
        if token.is_genitive()
            || hyphen_list
            || (token.is("and")
                && at > from
                && grammar::is_adjective(&tokens[at - 1].lower)
                && nouns == 0)
        {
            at += 1;
            continue;
        }
        if !token.is_word()
            || grammar::is_preposition(lower)
            || grammar::is_subordinator(lower)
            || token.is_any(&["and", "or", "but", "to", "not", "there", "so", "then"])
            || verbs::is_auxiliary(lower) && !token.is_capital()
        {
            break;
        }
        if verbs::is_adverb(lower)
            && !token.is_any(&["most", "more", "first", "very", "only", "last"])
            && (nouns > 0
                || tokens
                    .get(at + 1)
                    .is_none_or(|next| !grammar::is_adjective(&next.lower)))
        {
            break;
        }
        let verbal = !token.is_capital()
            && nouns > 0
            && (verbs::can_be(lower, PARTICIPLE)
                || verbs::can_be(lower, ING)
                || verbs::can_be(lower, PAST))
            && verbs::known(lower).is_none_or(|(_, forms)| forms & (BASE | THIRD) == 0);
        if verbal || (nouns > 0 && (grammar::is_determiner(lower) || is_possessive(tokens, at))) {
            break;
        }
        let named_verb = nouns > 0
            && !token.is_capital()
            && tokens[at - 1].is_capital()
            && verbs::known(lower).is_some_and(|(_, forms)| forms & (THIRD | PAST) != 0);
        if named_verb {
            break;
        }
        let filler = grammar::is_determiner(lower)
            || is_possessive(tokens, at)
            || grammar::is_adjective(lower);
        nouns += usize::from(!filler);
        at += 1;
    }
    let only_pronoun = at == from + 1 && tokens::is_stop(&tokens[from].lower);
    (nouns > 0 && !only_pronoun).then_some(from..at)
}

/// What the phrase after the preposition at `at` tells.
pub(crate) fn kind_of(tokens: &[Token], at: usize) -> Option<(Kind, Range<usize>)> {
    let object = noun_phrase(tokens, at + 1)?;
    let words = &tokens[object.clone()];
    let preposition = tokens[at].lower.as_str();
    let head = words
        .iter()
        .take_while(|token| !token.is("of"))
        .filter(|token| token.is_word())
        .last()?;
    let locative = matches!(
        preposition,
        "in" | "at"
            | "to"
            | "from"
            | "near"
            | "into"
            | "on"
            | "inside"
            | "outside"
            | "across"
            | "around"
            | "towards"
    );
    let kind = if words.iter().any(is_time) && !matches!(preposition, "of" | "with" | "as" | "to") {
        Kind::Time
    } else if locative && (PLACE_SET.contains(head.lower.as_str()) || lexicon::is_city(&head.lower))
    {
        Kind::Place
    } else if !matches!(preposition, "as" | "in" | "at" | "into")
        && people::person_gender(words).is_some()
        && (!locative || people::is_person_word(&head.lower))
    {
        Kind::Person
    } else if locative
        && preposition != "on"
        && head.is_capital()
        && !head.me
        && !people::is_person_word(&words[0].lower)
        && !lexicon::is_language(&head.lower)
    {
        Kind::Place
    } else {
        Kind::Thing
    };
    Some((kind, object))
}

/// The end of the part of the clause worth asking about: side clauses are left out.
pub(crate) fn short_end(tokens: &[Token], clause: &Clause, max_words: usize) -> usize {
    let last = tokens
        .iter()
        .rposition(Token::is_word)
        .map_or(tokens.len(), |last| last + 1);
    let end = last + usize::from(tokens.get(last).is_some_and(|token| token.is("\"")));
    let mut cut = end;
    for at in clause.main + 1..end {
        let token = &tokens[at];
        let Some(next) = tokens.get(at + 1) else {
            break;
        };
        let side = grammar::is_subordinator(&next.lower)
            || grammar::is_preposition(&next.lower)
            || verbs::can_be(&next.lower, ING)
            || verbs::can_be(&next.lower, PARTICIPLE)
            || next.me
            || verbs::is_adverb(&next.lower)
            || (verbs::is_base(&next.lower)
                && tokens.get(at + 2).is_some_and(|after| {
                    grammar::is_determiner(&after.lower)
                        || grammar::is_adjective(&after.lower)
                        || is_possessive(tokens, at + 2)
                }))
            || next.is_any(&["but", "with", "a", "an", "the", "he", "she", "it", "they"]);
        let list = token.is(",") && is_list_comma(tokens, at, end);
        let coordinated = token.is_any(&["and", "but", "or"])
            && ((next.me
                && subject::verb_after(tokens, at + 2, true).is_some()
                && !is_possessive(tokens, at + 1))
                || (verbs::known(&next.lower)
                    .is_some_and(|(_, forms)| forms & (THIRD | PAST | BASE) != 0)
                    && !verbs::can_be(&next.lower, ING)
                    && !grammar::is_plural(&next.lower))
                || verbs::is_auxiliary(&next.lower)
                || (verbs::is_adverb(&next.lower)
                    && tokens
                        .get(at + 2)
                        .is_some_and(|after| verbs::known(&after.lower).is_some()))
                || (grammar::is_determiner(&next.lower)
                    && main::parse(&tokens[at + 1..end]).is_some_and(|inner| inner.start == 0))
                || next.is_any(&["he", "she", "they", "it", "then"]));
        let subordinate = (token.is_in("because when while although unless if whereas since so")
            || (token.is_any(&["where", "who", "which"]) && at > clause.main + 2)
            || (token.is_any(&["after", "before", "as", "until"])
                && main::parse(&tokens[at + 1..end]).is_some_and(|inner| inner.start == 0)))
            && at > clause.main + 1;
        let verb_list = token.is(",") && verbs::is_base(&next.lower) && side;
        let mark = verb_list
            || token.is_any(&[";", ":"])
            || (token.is(",") && side && !list)
            || (token.is(",") && grammar::is_subordinator(&next.lower));
        if mark || coordinated || subordinate {
            cut = at;
            break;
        }
    }
    let words = cut - clause.main;
    if words > max_words {
        let from = clause.main + 4;
        let softer = (from..clause.main + max_words).rev().find(|&at| {
            tokens[at].is(",")
                || (grammar::is_preposition(&tokens[at].lower) && !tokens[at].is("of"))
                || tokens[at].is_any(&["to", "that", "who", "which"])
                || verbs::can_be(&tokens[at].lower, ING)
        });
        cut = softer.unwrap_or(cut);
    }
    while cut > clause.main + 1
        && (!tokens[cut - 1].is_word()
            && !tokens[cut - 1].is("\"")
            && !tokens[cut - 1].is_genitive()
            || tokens[cut - 1].is_any(&[
                "and", "or", "to", "of", "the", "a", "an", "such", "as", "with", "in", "for",
                "that", "often", "likely", "due", "their", "his", "her", "my", "your", "its", "by",
            ]) && cut < end
            || cut < end
                && verbs::can_be(&tokens[cut - 1].lower, ING)
                && !grammar::is_determiner(&tokens[cut - 2].lower)
                && (tokens[cut - 2].is(",") || grammar::is_preposition(&tokens[cut - 2].lower)))
    {
        cut -= 1;
    }
    cut
}

/// Whether the comma stands between short members of a list that ends in `and`.
fn is_list_comma(tokens: &[Token], comma: usize, end: usize) -> bool {
    let members = &tokens[comma + 1..end.min(comma + 9)];
    let Some(and) = members
        .iter()
        .position(|token| token.is_any(&["and", "or"]))
    else {
        return false;
    };
    let opens_list = members
        .first()
        .is_some_and(|first| first.is_any(&["including", "such", "with", "often"]));
    let verbal = members[..and].first().is_some_and(|first| {
        verbs::can_be(&first.lower, ING) && !verbs::can_be(&tokens[comma - 1].lower, ING)
    }) && !members
        .get(1)
        .is_some_and(|after| after.is_any(&[",", "and", "or"]));
    and <= 5
        && !opens_list
        && !verbal
        && !members[..and].iter().any(|token| {
            grammar::is_subordinator(&token.lower)
                || verbs::is_auxiliary(&token.lower)
                || token.me && !token.is("your") && !token.is("my")
        })
}

/// The text of a piece of a sentence, its first word small unless it is a name.
pub(crate) fn inner_text(tokens: &[Token], range: Range<usize>) -> String {
    let opens = tokens[..range.start].iter().all(|token| !token.is_word());
    let mut piece = tokens[range].to_vec();
    if let Some(first) = piece.first_mut()
        && opens
        && !first.is("i")
        && (grammar::is_determiner(&first.lower)
            || grammar::is_preposition(&first.lower)
            || grammar::is_intro_word(&first.lower)
            || first.me
            || tokens::is_stop(&first.lower)
            || verbs::is_adverb(&first.lower))
    {
        let lower = first.lower.clone();
        first.text = lower;
    }
    join(&piece)
}
