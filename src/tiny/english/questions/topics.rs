//! What a sentence is about: noun phrases worth a question of their own.

use std::ops::Range;

use crate::tiny::english::clause::phrases::{inner_text, is_time, noun_phrase};
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::{self, Clause};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs::{self, ING, PARTICIPLE};

/// Noun phrases worth a question of their own, the subject's first.
pub(crate) fn topics(tokens: &[Token], clause: Option<&Clause>) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let possessed =
        |range: &Range<usize>| is_possessive(tokens, range.start) || tokens[range.start].is("your");
    if let Some(clause) = clause
        && (clause.kind == clause::Subject::Mine
            || (clause.kind == clause::Subject::Other
                && clause.subject_end - clause.start <= 6
                && !tokens[clause.start].is_any(&[
                    "he", "she", "it", "they", "this", "there", "these", "that", "those", "who",
                ])))
    {
        topics.push(subject_text(tokens, clause));
    }
    let mut at = clause.map_or(0, |clause| clause.main + 1);
    if let Some(clause) = clause.filter(|clause| {
        clause.kind == clause::Subject::Me
            && clause.main == clause.verb
            && verbs::is_be(&tokens[clause.verb].lower)
    }) && let Some(complement) =
        noun_phrase(tokens, at).filter(|complement| tokens[complement.start].is_any(&["a", "an"]))
    {
        if tokens[complement.clone()]
            .iter()
            .any(|token| people::is_job(&token.lower))
            && tokens[clause.verb].is("are")
        {
            topics.push("your work".to_owned());
        }
        at = complement.end;
    }
    let has = clause.is_some_and(|clause| {
        verbs::known_base(&tokens[clause.main].lower) == Some("have")
            && clause.main == clause.verb
            && clause.kind == clause::Subject::Me
    });
    while at < tokens.len() && topics.len() < 4 {
        let Some(range) = noun_phrase(tokens, at) else {
            at += 1;
            continue;
        };
        let pronoun = tokens[range.start].me && !possessed(&range);
        let heads: Vec<&Token> = tokens[range.clone()]
            .iter()
            .filter(|token| token.is_word() && !tokens::is_stop(&token.lower))
            .collect();
        let number = tokens[range.start].is_number()
            || tokens[range.clone()]
                .iter()
                .all(|token| is_time(token) || grammar::is_determiner(&token.lower));
        let first = &tokens[range.start];
        let infinitive =
            range.start > 0 && tokens[range.start - 1].is("to") && verbs::is_base(&first.lower);
        let after_preposition = range.start > 0
            && !infinitive
            && (grammar::is_preposition(&tokens[range.start - 1].lower)
                || (range.start == clause.map_or(0, |clause| clause.main + 1)
                    && verbs::can_be(&first.lower, ING)));
        let verb = !first.is_capital()
            && !after_preposition
            && (verbs::known(&first.lower).is_some()
                || verbs::can_be(&first.lower, PARTICIPLE | ING))
            && !is_possessive(tokens, range.start)
            && !grammar::is_adjective(&first.lower)
            || verbs::is_adverb(&first.lower)
            || (first.is("including"));
        let number = number || (range.len() == 1 && lexicon::is_numeral(&first.lower));
        let unresolved = tokens[range.clone()].iter().any(|token| {
            !token.me && token.is_any(&["his", "her", "their", "its", "him", "them", "it", "they"])
        });
        let gerund = range.len() == 1
            && verbs::can_be(&first.lower, ING)
            && tokens.get(range.end).is_some_and(|next| {
                grammar::is_determiner(&next.lower)
                    || is_possessive(tokens, range.end)
                    || next.is_capital()
            });
        let infinitive = range.len() == 1
            && range.start > 0
            && tokens[range.start - 1].is("to")
            && !first.is_capital()
            && !grammar::is_plural(&first.lower);
        let head_plural = heads
            .last()
            .is_some_and(|head| grammar::is_plural(&head.lower));
        let predicate = (range.len() == 1 || grammar::is_adjective(&first.lower))
            && !head_plural
            && clause.is_some_and(|clause| {
                clause.main == clause.verb
                    && verbs::is_be(&tokens[clause.verb].lower)
                    && tokens[clause.main + 1..range.start.max(clause.main + 1)]
                        .iter()
                        .all(|token| verbs::is_adverb(&token.lower) || token.is("not"))
            });
        let pronoun = pronoun
            || unresolved
            || gerund
            || infinitive
            || predicate
            || first.is("likely")
            || first.is("due");
        let adjective = heads
            .last()
            .is_some_and(|head| grammar::is_adjective(&head.lower) && !head.is_capital());
        if !pronoun && !heads.is_empty() && !number && !verb && !adjective {
            let mut text = inner_text(tokens, range.clone());
            text = text.strip_prefix("both ").unwrap_or(&text).to_owned();
            for article in ["a ", "an "] {
                if let Some(rest) = text.strip_prefix(article) {
                    text = if has && topics.is_empty() {
                        format!("your {rest}")
                    } else {
                        format!("the {rest}")
                    };
                    break;
                }
            }
            if has
                && topics.is_empty()
                && text.split(' ').count() <= 3
                && grammar::is_plural(&heads[heads.len() - 1].lower)
                && !tokens[range.start].is_capital()
                && (!grammar::is_determiner(&tokens[range.start].lower)
                    || lexicon::is_numeral(&tokens[range.start].lower))
                && !text.starts_with("your ")
            {
                text = format!("your {text}");
            }
            if !topics.contains(&text) {
                topics.push(text);
            }
        }
        at = if verb { at + 1 } else { range.end.max(at + 1) };
    }
    topics
}

/// The subject as it stands inside a sentence.
pub(crate) fn subject_text(tokens: &[Token], clause: &Clause) -> String {
    let text = inner_text(tokens, clause.start..clause.subject_end);
    let common = clause.plural
        && clause.subject_end == clause.start + 1
        && tokens[..clause.start].iter().all(|token| !token.is_word())
        && grammar::is_plural(&tokens[clause.start].lower);
    if common { text.to_lowercase() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_noun_phrases_of_the_sentence() {
        let check = |text: &str, expected: &[&str]| {
            let tokens = crate::tiny::english::clause::names::Names::new("Alice").tag(text);
            assert_eq!(
                topics(
                    &tokens,
                    crate::tiny::english::clause::parse(&tokens).as_ref()
                ),
                expected
            );
        };
        check(
            "Alice plays the guitar in a small band.",
            &["the guitar", "the small band"],
        );
        check("Bob taught Alice to cook rice.", &["Bob", "rice"]);
    }
}
