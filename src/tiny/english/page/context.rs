//! What a sentence owes to those around it: quotations, reports, pronouns without a noun.

use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs;

/// Quotations of whole clauses are other people's words.
pub(crate) fn has_long_quote(sentence: &str) -> bool {
    let mut parts = sentence.split('"');
    parts.next();
    let parts: Vec<&str> = parts.collect();
    parts.len() % 2 == 1
        || parts.iter().step_by(2).any(|quoted| {
            quoted.split_whitespace().count() > 4 || quoted.contains(" I ") || quoted.ends_with('?')
        })
}

/// Whether a pronoun means something that only an earlier sentence names.
pub(crate) fn lacks_antecedent(tokens: &[Token], gender: Option<Gender>) -> bool {
    let mut person = false;
    let mut thing = false;
    let mut plural = false;
    for (idx, token) in tokens.iter().enumerate() {
        let object =
            matches!(token.lower.as_str(), "him" | "her" | "them") && !is_possessive(tokens, idx);
        if token.me
            || !token.is_word()
            || (gender.is_some() && Gender::of_pronoun(&token.lower) == gender && !object)
        {
            continue;
        }
        let missing = match token.lower.as_str() {
            "it" | "its" => {
                !thing
                    && !tokens.get(idx + 1).is_some_and(|next| {
                        verbs::is_be(&next.lower)
                            || grammar::is_adjective(&next.lower)
                            || next.is("upon")
                    })
            }
            "he" | "him" | "his" | "she" | "her" | "himself" | "herself" => !person,
            "they" | "them" | "their" | "themselves" => !plural,
            _ => false,
        };
        if missing {
            return true;
        }
        let noun = !grammar::is_determiner(&token.lower)
            && !grammar::is_preposition(&token.lower)
            && !tokens::is_stop(&token.lower)
            && !verbs::is_adverb(&token.lower)
            && !grammar::is_adjective(&token.lower);
        person |= people::is_person_word(&token.lower) || token.is_capital();
        plural |= grammar::is_plural(&token.lower)
            || token.is("and")
            || token.is_any(&[
                "team", "family", "band", "group", "company", "couple", "someone", "anyone",
            ]);
        let before = &tokens[idx.saturating_sub(1)];
        let settled = idx > 0
            && (grammar::is_determiner(&before.lower)
                || grammar::is_adjective(&before.lower)
                || grammar::is_preposition(&before.lower)
                || before.is_genitive()
                || is_possessive(tokens, idx - 1));
        thing |= noun
            && (settled
                || token.is_capital()
                || grammar::is_plural(&token.lower)
                || verbs::known(&token.lower).is_none())
            && !verbs::can_be(&token.lower, verbs::ING);
    }
    false
}

/// Whether the subject points to a sentence that is not there.
pub(crate) fn is_dangling(tokens: &[Token], clause: &Clause) -> bool {
    let subject = &tokens[clause.start..clause.subject_end];
    let first = &subject[0];
    let bare = subject.len() == 1
        && first.is_any(&[
            "this", "that", "these", "those", "it", "both", "others", "some", "one", "another",
            "which", "who", "such", "we", "all", "neither", "either", "none",
        ]);
    let object = tokens[0].is_any(&["this", "these"]) && tokens.get(1).is_some_and(|next| next.me);
    let other = first.me
        && Gender::of_pronoun(&first.lower).is_some()
        && clause.kind == Subject::Me
        && tokens[clause.verb..]
            .iter()
            .any(|token| token.me && Gender::of_pronoun(&token.lower).is_none());
    let vague = first.is("the")
        && subject.len() > 1
        && subject[1].is_any(&[
            "latter", "former", "two", "three", "others", "same", "result", "first", "second",
        ])
        && clause.kind == Subject::Other;
    let of = subject.first().is_some_and(|first| {
        first.is_any(&["all", "some", "most", "many", "one", "both", "two", "three"])
    }) && subject
        .get(2)
        .is_some_and(|third| third.is_any(&["these", "those", "them", "which", "this"]));
    let pronoun = !first.me && Gender::of_pronoun(&first.lower).is_some();
    let opens = tokens[0].is_any(&["it", "that", "which", "who", "whose"]) && !tokens[0].me
        || tokens
            .get(1)
            .is_some_and(|next| next.is_any(&["which", "whom", "whose"]));
    // `By this year she had …`, of a year that an earlier sentence names.
    let then = grammar::is_preposition(&tokens[0].lower)
        && tokens
            .get(1)
            .is_some_and(|next| next.is_any(&["this", "these", "that", "those"]))
        && tokens.get(2).is_some_and(|next| {
            next.is_any(&[
                "year", "years", "time", "period", "point", "day", "days", "month", "months",
                "stage",
            ])
        });
    bare || object || other || vague || of || pronoun || opens || then
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_quotations_are_seen() {
        assert!(has_long_quote("Bob said: \"I have never seen her here.\""));
        assert!(!has_long_quote("Alice wrote \"The Hill\" in May."));
    }
}
