//! The main clause of a sentence: who does what, found by word order and agreement.

use super::possessive::is_possessive;
use super::subject::{NOMINATIVES, find_verb};
use crate::tiny::english::words::grammar::{
    is_adjective, is_determiner, is_intro_word, is_preposition,
};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs::{self, ING, PARTICIPLE};

/// What the subject has to do with the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The character.
    Me,
    /// The character and someone else.
    WithMe,
    /// Something of the character's: `Alice's mother`.
    Mine,
    /// Anything else.
    Other,
}

/// The parts of the main clause, as places in the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub kind: Subject,
    pub start: usize,
    pub subject_end: usize,
    /// The finite verb.
    pub verb: usize,
    /// The verb that carries the meaning; the finite verb itself, when that is no auxiliary here.
    pub main: usize,
    pub plural: bool,
    pub negated: bool,
}

const CONJUNCTIONS: &[&str] = &[
    "when", "while", "although", "though", "because", "if", "unless", "whereas", "once", "whenever",
];

/// Whether `at` begins something that can be a subject.
fn starts_subject(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| {
        token.me
            || token.is_capital()
            || token.is("\"")
            || (token.is_any(NOMINATIVES) && !token.is("who"))
            || (is_determiner(&token.lower) && !token.is("that"))
    })
}

/// Finds the main clause.
pub(crate) fn parse(tokens: &[Token]) -> Option<Clause> {
    let first = tokens.iter().position(Token::is_word)?;
    let mut fallback = None;
    let opening = &tokens[first];
    if opening.me
        || !is_intro_word(&opening.lower)
        || (opening.is_capital() && tokens.get(first + 1).is_some_and(Token::is_genitive))
    {
        match parse_at(tokens, first) {
            Some(clause) if clause.kind != Subject::Other => return Some(clause),
            other => fallback = other,
        }
    }
    let mut commas = 0;
    for at in first + 1..tokens.len().min(first + 40) {
        if fallback.is_some() {
            break;
        }
        if tokens[at - 1].is(",") && starts_subject(tokens, at) {
            commas += 1;
            match parse_at(tokens, at) {
                Some(clause) if clause.kind != Subject::Other => return Some(clause),
                other => fallback = fallback.or(other),
            }
        }
    }
    if fallback.is_none() && commas == 0 && opening.is_any(CONJUNCTIONS) {
        let mut subjects = (first + 1..tokens.len().min(first + 24)).filter(|&at| {
            (tokens[at].me && !is_possessive(tokens, at) || tokens[at].is_any(NOMINATIVES))
                && parse_at(tokens, at).is_some()
        });
        let inner = subjects.next()?;
        return subjects
            .find(|&at| {
                at > inner + 2
                    && !tokens[at - 1].is_any(&["and", "that", "or", "where", "when", "which"])
                    && !is_preposition(&tokens[at - 1].lower)
            })
            .and_then(|at| parse_at(tokens, at));
    }
    if fallback.is_none() {
        // `Every Saturday he sells honey`, `In 1791 Waldstein wrote to her`: what opens the sentence has no comma after it.
        let comma = (first + 1..tokens.len()).find(|&at| tokens[at].is(",") && commas > 0);
        let subjects = first + 1..comma.unwrap_or(tokens.len()).min(first + 12);
        fallback = subjects
            .filter(|&at| tokens[at].me || tokens[at].is_capital() && tokens[at - 1].is_number())
            .find_map(|at| parse_at(tokens, at));
    }
    fallback
}

fn parse_at(tokens: &[Token], start: usize) -> Option<Clause> {
    let (verb, plural, subject_end) = find_verb(tokens, start)?;
    let kind = subject_kind(tokens, start, subject_end)?;
    let (mut main, negated) = main_verb(tokens, verb);
    let thing =
        kind == Subject::Mine && people::person_gender(&tokens[start + 1..subject_end]).is_none();
    if thing && verbs::is_be(&tokens[verb].lower) && verbs::can_be(&tokens[main].lower, ING) {
        main = verb;
    }
    Some(Clause {
        kind,
        start,
        subject_end,
        verb,
        main,
        plural,
        negated,
    })
}

fn subject_kind(tokens: &[Token], start: usize, end: usize) -> Option<Subject> {
    let first = &tokens[start];
    if first.me {
        let possessive =
            tokens.get(start + 1).is_some_and(Token::is_genitive) || is_possessive(tokens, start);
        if possessive {
            return Some(Subject::Mine);
        }
        if first.is_any(&["him", "me", "them"]) {
            return None;
        }
        let with = tokens[start + 1..end].iter().any(|token| token.is("and"));
        return Some(if with { Subject::WithMe } else { Subject::Me });
    }
    let with = (start + 1..end).any(|at| {
        tokens[at].me
            && !tokens.get(at + 1).is_some_and(Token::is_genitive)
            && !is_possessive(tokens, at)
            && tokens[at - 1].is_any(&["and", ",", "both"])
    });
    Some(if with {
        Subject::WithMe
    } else {
        Subject::Other
    })
}

/// From the finite verb to the verb that carries the meaning, and whether there is a negation between.
fn main_verb(tokens: &[Token], verb: usize) -> (usize, bool) {
    let mut main = verb;
    let mut negated = false;
    let mut at = verb + 1;
    while verbs::is_auxiliary(&tokens[main].lower)
        || matches!(
            tokens[main].lower.as_str(),
            "be" | "been" | "have" | "being"
        )
    {
        while tokens
            .get(at)
            .is_some_and(|token| verbs::is_adverb(&token.lower) || token.is("not"))
        {
            negated |= tokens[at].is_any(&["not", "never"]);
            at += 1;
        }
        let Some(next) = tokens.get(at) else { break };
        let lower = next.lower.as_str();
        let fits = match tokens[main].lower.as_str() {
            "is" | "are" | "am" | "was" | "were" | "be" | "been" | "being" => {
                (verbs::can_be(lower, PARTICIPLE) && !is_adjective(lower)
                    || lower == "born"
                    || (verbs::can_be(lower, ING)
                        && !tokens
                            .get(at + 1)
                            .is_some_and(|after| after.is_any(&[",", "and", "or"]))))
                    && !next.is_capital()
            }
            "has" | "have" | "had" => {
                verbs::can_be(lower, PARTICIPLE) && !is_adjective_phrase(tokens, at)
            }
            "do" | "does" | "did" => verbs::is_base(lower),
            _ => verbs::is_base(lower) || (!is_determiner(lower) && next.is_word()),
        };
        if !fits {
            break;
        }
        main = at;
        at += 1;
    }
    let before = tokens[..verb].last().is_some_and(|token| token.is("never"));
    (main, negated || before)
}

/// `has bushy hair`, `has trained dogs`: a participle that belongs to a noun.
fn is_adjective_phrase(tokens: &[Token], at: usize) -> bool {
    let lower = tokens[at].lower.as_str();
    verbs::known(lower).is_none()
        && tokens.get(at + 1).is_some_and(|next| {
            next.is_word()
                && !is_determiner(&next.lower)
                && !is_preposition(&next.lower)
                && !next.is_capital()
                && !verbs::is_adverb(&next.lower)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::clause::names::Names;

    fn check(text: &str, kind: Subject, verb: &str, main: &str) {
        let tokens = Names::new("Alice").tag(text);
        let clause = parse(&tokens).unwrap_or_else(|| panic!("no clause in {text}"));
        assert_eq!(
            (
                clause.kind,
                tokens[clause.verb].text.as_str(),
                tokens[clause.main].text.as_str()
            ),
            (kind, verb, main),
            "{text}"
        );
    }

    #[test]
    fn the_main_verb_is_found() {
        check(
            "Alice often plays the guitar.",
            Subject::Me,
            "plays",
            "plays",
        );
        check(
            "Alice's parents work in a bank.",
            Subject::Mine,
            "work",
            "work",
        );
        check(
            "Alice's role often requires her to travel.",
            Subject::Mine,
            "requires",
            "requires",
        );
        check(
            "Alice's play, The Tower, first staged in 1905, was rewritten.",
            Subject::Mine,
            "was",
            "rewritten",
        );
        check(
            "Despite her fear, Alice has never been afraid of water.",
            Subject::Me,
            "has",
            "been",
        );
        check(
            "When she was six, Alice moved to Paris.",
            Subject::Me,
            "moved",
            "moved",
        );
        check(
            "In 1783 Alice began to write.",
            Subject::Me,
            "began",
            "began",
        );
        check(
            "Alice and Bob share a flat.",
            Subject::WithMe,
            "share",
            "share",
        );
        check(
            "Harry, Ron, and Alice are friends.",
            Subject::WithMe,
            "are",
            "are",
        );
        check(
            "Bob taught Alice composition.",
            Subject::Other,
            "taught",
            "taught",
        );
        check(
            "An avid reader, Alice often embeds messages in letters.",
            Subject::Me,
            "embeds",
            "embeds",
        );
        check(
            "Alice's first work published in Vienna was a song.",
            Subject::Mine,
            "was",
            "was",
        );
    }
}
