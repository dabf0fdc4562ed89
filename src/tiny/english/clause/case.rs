//! How a mention of the character stands in its sentence: `she`, `her`, `her book`, `hers`, `herself`.

use super::main::{self, Subject};
use super::possessive::is_possessive;
use super::subject::{is_finite_after_me, verb_after};
use super::voice::says;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs::{self, THIRD};

/// How a mention of the character stands in its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Nominative,
    Accusative,
    Possessive,
    PossessiveAlone,
    Reflexive,
}

/// The case of the mention at `at`.
pub(crate) fn case_of(tokens: &[Token], at: usize) -> Case {
    let token = &tokens[at];
    if tokens.get(at + 1).is_some_and(Token::is_genitive) {
        let stands_alone = tokens.get(at + 2).is_none_or(|next| {
            !next.is_word() && !next.is_any(&["\"", "("])
                || next.is_any(&["and", "or", "in", "on", "is", "was"])
        });
        return if stands_alone {
            Case::PossessiveAlone
        } else {
            Case::Possessive
        };
    }
    match token.lower.as_str() {
        "he" | "she" | "they" | "i" => return Case::Nominative,
        "him" | "them" | "me" => return Case::Accusative,
        "my" | "your" | "their" => return Case::Possessive,
        "hers" | "theirs" | "mine" | "yours" => return Case::PossessiveAlone,
        "himself" | "herself" | "themselves" | "themself" | "myself" | "yourself" => {
            return Case::Reflexive;
        }
        "his" => {
            let alone = tokens
                .get(at + 1)
                .is_none_or(|next| !next.is_word() || verbs::is_auxiliary(&next.lower));
            return if alone {
                Case::PossessiveAlone
            } else {
                Case::Possessive
            };
        }
        "her" => {
            return if is_possessive(tokens, at) {
                Case::Possessive
            } else {
                Case::Accusative
            };
        }
        _ => {}
    }
    if is_nominative_name(tokens, at) {
        Case::Nominative
    } else {
        Case::Accusative
    }
}

/// Whether the name (or `you`) at `at` is a subject.
pub(crate) fn is_nominative_name(tokens: &[Token], at: usize) -> bool {
    if let Some(clause) = main::parse(tokens) {
        // `Alice's wife and Alice`
        let is_joined = at > clause.start && tokens[at - 1].is_any(&["and", "or"]);
        let listed = (matches!(clause.kind, Subject::WithMe | Subject::Me) || is_joined)
            && (clause.start..clause.subject_end).contains(&at);
        if listed {
            return true;
        }
    }
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let pure_preposition = before.is_some_and(|before| {
        grammar::is_preposition(&before.lower)
            && !grammar::is_subordinator(&before.lower)
            && !before.is_any(&["as", "until", "till"])
    });
    let you = tokens[at].is("you");
    if pure_preposition {
        return false;
    }
    if verb_after(tokens, at + 1, you).is_some_and(|verb| you || !ends_list(tokens, at, verb)) {
        return true;
    }
    if tokens.get(at + 1).is_some_and(|next| next.is("and")) {
        return (at + 2..tokens.len().min(at + 6)).any(|idx| {
            verb_after(tokens, idx, true)
                .is_some_and(|verb| verb == idx && !grammar::is_preposition(&tokens[idx - 1].lower))
        }) && before.is_none_or(|before| {
            verbs::known(&before.lower).is_none_or(|(_, forms)| forms & THIRD == 0)
        });
    }
    false
}

/// A past form right after an object may be a participle: `the song about Alice called …`.
fn ends_list(tokens: &[Token], at: usize, verb: usize) -> bool {
    let after_verb = at > 0
        && is_finite_after_me(tokens, at - 1)
        && !verbs::is_auxiliary(&tokens[at - 1].lower)
        && !says(&tokens[at - 1].lower);
    after_verb && verbs::is_participle(&tokens[verb].lower)
}
