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
    if let Some(clause) = clause
        && (clause.kind == clause::Subject::Mine
            || (clause.kind == clause::Subject::Other
                && clause.subject_end - clause.start <= 6
                && !tokens[clause.start].is_in("he she it they this there these that those who")))
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
        let verbal = is_verbal(tokens, &range, clause);
        if !verbal && is_worth_a_question(tokens, &range, clause) {
            let text = topic_text(tokens, &range, has && topics.is_empty());
            if !topics.contains(&text) {
                topics.push(text);
            }
        }
        at = if verbal {
            at + 1
        } else {
            range.end.max(at + 1)
        };
    }
    topics
}

/// Whether what was taken for a noun phrase begins with a verb or an adverb.
fn is_verbal(tokens: &[Token], range: &Range<usize>, clause: Option<&Clause>) -> bool {
    let first = &tokens[range.start];
    let before = range.start.checked_sub(1).map(|before| &tokens[before]);
    let infinitive = before.is_some_and(|before| before.is("to")) && verbs::is_base(&first.lower);
    let after_preposition = !infinitive
        && before.is_some_and(|before| {
            grammar::is_preposition(&before.lower)
                || (range.start == clause.map_or(0, |clause| clause.main + 1)
                    && verbs::can_be(&first.lower, ING))
        });
    let verb =
        verbs::known(&first.lower).is_some() || verbs::can_be(&first.lower, PARTICIPLE | ING);
    !first.is_capital()
        && !after_preposition
        && verb
        && !is_possessive(tokens, range.start)
        && !grammar::is_adjective(&first.lower)
        || verbs::is_adverb(&first.lower)
        || first.is("including")
}

/// Whether a noun phrase names something that can be asked about: no pronoun, number, time, adjective or predicate.
fn is_worth_a_question(tokens: &[Token], range: &Range<usize>, clause: Option<&Clause>) -> bool {
    let words = &tokens[range.clone()];
    let first = &words[0];
    let Some(head) = words
        .iter()
        .rfind(|token| token.is_word() && !tokens::is_stop(&token.lower))
    else {
        return false;
    };
    let possessed = is_possessive(tokens, range.start) || first.is("your");
    let pronoun = first.me && !possessed;
    let number = first.is_number()
        || words
            .iter()
            .all(|token| is_time(token) || grammar::is_determiner(&token.lower))
        || (range.len() == 1 && lexicon::is_numeral(&first.lower));
    let unresolved = words.iter().any(|token| {
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
    let predicate = (range.len() == 1 || grammar::is_adjective(&first.lower))
        && !grammar::is_plural(&head.lower)
        && clause.is_some_and(|clause| is_predicate(tokens, range, clause));
    let adjective = grammar::is_adjective(&head.lower) && !head.is_capital();
    !pronoun
        && !number
        && !unresolved
        && !gerund
        && !infinitive
        && !predicate
        && !adjective
        && !first.is_any(&["likely", "due"])
}

/// Whether nothing but adverbs stands between `is` and the phrase.
fn is_predicate(tokens: &[Token], range: &Range<usize>, clause: &Clause) -> bool {
    clause.main == clause.verb
        && verbs::is_be(&tokens[clause.verb].lower)
        && tokens[clause.main + 1..range.start.max(clause.main + 1)]
            .iter()
            .all(|token| verbs::is_adverb(&token.lower) || token.is("not"))
}

/// The phrase as a topic: `the guitar` of a guitar, `your guitar` where the character has it.
fn topic_text(tokens: &[Token], range: &Range<usize>, owned: bool) -> String {
    let text = inner_text(tokens, range.clone());
    let text = text.strip_prefix("both ").unwrap_or(&text);
    let indefinite = text.strip_prefix("a ").or_else(|| text.strip_prefix("an "));
    let text = match indefinite {
        Some(rest) if owned => format!("your {rest}"),
        Some(rest) => format!("the {rest}"),
        None => text.to_owned(),
    };
    let first = &tokens[range.start];
    let plural = tokens[range.clone()]
        .iter()
        .rfind(|token| token.is_word() && !tokens::is_stop(&token.lower))
        .is_some_and(|head| grammar::is_plural(&head.lower));
    let bare = owned
        && text.split(' ').count() <= 3
        && plural
        && !first.is_capital()
        && (!grammar::is_determiner(&first.lower) || lexicon::is_numeral(&first.lower))
        && !text.starts_with("your ");
    if bare { format!("your {text}") } else { text }
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
