//! Is a statement needed to answer a question? Shared words, weighted, and the kind of the question.

use std::collections::HashSet;

use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::phrases;
use crate::tiny::english::clause::{self, Clause, Subject};
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::tokens::{self, Token, content_of, stem};
use crate::tiny::english::words::verbs;

/// Words which ask for one another's statements.
const RELATED: &[&str] = &[
    "job work occupation profession career living employ profession",
    "home live house reside apartment residence move",
    "family mother father parent sister brother sibling daughter son grandmother grandfather relative wife husband",
    "hobby enjoy love like pastime interest free passion",
    "birth birthday bear born",
    "afraid fear scare phobia frighten",
    "study school university education learn teach lesson",
    "friend friendship befriend best",
    "look appearance hair eye tall wear",
    "speak language fluent",
    "eat food dish meal cook",
    "music instrument song sing guitar piano violin melody",
    "old age year",
    "personality character introvert kind shy",
    "goal dream want aspire ambition hope plan",
    "skill talent ability expert good able",
    "love romance relationship marry partner wife husband",
    "pet animal dog cat",
    "die death bury",
];

/// Verbs too common to decide anything alone.
const COMMON: &str = "have do make get take go come be become give find know think feel want live work use see start begin keep life people year time day first new good old lot often never always sometimes";

/// Returns whether an answer to the question would use the statement.
pub fn is_relevant(character: &str, statement: &str, question: &str) -> bool {
    let names = Names::new(character);
    let asked = content_of(&names.tag(question));
    let asked: Vec<String> = asked.into_iter().filter(|word| !matches!(word.as_str(), "tell" | "hear" | "talk" | "describ" | "mor" | "could" | "name" if word != "name")).collect();
    let tokens = names.tag(statement);
    let clause = clause::parse(&tokens);
    let lower = question.to_lowercase();
    let verb_only = asked.is_empty()
        && clause.as_ref().is_some_and(|clause| {
            lower.split_whitespace().skip(2).any(|word| {
                word.trim_matches(|c: char| !c.is_alphanumeric())
                    == verbs::base(&tokens[clause.main].lower)
            })
        });
    if verb_only {
        return true;
    }
    if asked.iter().all(|word| {
        matches!(word.as_str(), "lif" | "like" | "lik" | "describ")
            || word == "liv" && lower.contains("for a living")
    }) {
        return answers_general(&tokens, clause.as_ref(), &lower);
    }
    let own: HashSet<String> = content_of(&tokens).into_iter().collect();
    let mut matched = 0.0;
    let mut total = 0.0;
    let mut exact = false;
    for word in &asked {
        let weight = weight(word);
        total += weight;
        if own.contains(word) {
            matched += weight;
            exact |= weight == 1.0;
        } else if own.iter().any(|other| related(word, other)) {
            matched += 0.6 * weight;
        }
    }
    let mut score = matched / total;
    if !evidence(&tokens, &lower) {
        score *= 0.6;
    }
    score >= if exact { 0.49 } else { 0.55 }
}

/// Whether the question wants yes or no.
pub(crate) fn is_yes_no(question: &str) -> bool {
    question.split_whitespace().next().is_some_and(|first| {
        verbs::is_auxiliary(&first.to_lowercase())
            && !question.to_lowercase().contains("tell me")
            && !question.to_lowercase().starts_with("could you say")
    })
}

pub(crate) fn weight(stem_: &str) -> f32 {
    if tokens::is_stop(stem_) {
        0.1
    } else if COMMON.split(' ').any(|word| stem(word) == stem_) {
        0.4
    } else {
        1.0
    }
}

fn related(one: &str, other: &str) -> bool {
    RELATED.iter().any(|group| {
        group.split(' ').any(|word| stem(word) == one)
            && group.split(' ').any(|word| stem(word) == other)
    })
}

/// Whether the statement has what the question word asks for.
fn evidence(tokens: &[Token], question: &str) -> bool {
    let starts = |word: &str| question.starts_with(word);
    let locative = |at: usize| {
        tokens[at].is_any(&["in", "at", "from", "to", "near", "on", "into", "inside"])
            && phrases::kind_of(tokens, at).is_some_and(|(kind, _)| kind != phrases::Kind::Time)
    };
    match () {
        () if starts("where") => (0..tokens.len()).any(locative),
        () if starts("when") || starts("at what age") => tokens.iter().any(|token| {
            phrases::is_time(token)
                || token.is_number()
                || token.is_any(&[
                    "when", "after", "before", "until", "since", "ago", "early", "later",
                ])
        }),
        () if starts("how old") || starts("how many") => tokens
            .iter()
            .any(|token| token.is_number() || lexicon::is_numeral(&token.lower)),
        () if starts("who") => tokens.iter().any(|token| {
            crate::tiny::english::words::people::is_person_word(&token.lower)
                || (token.is_capital() && !token.me)
        }),
        () => true,
    }
}

/// Questions without a topic: who the character is, what it does, what it is like.
fn answers_general(tokens: &[Token], clause: Option<&Clause>, question: &str) -> bool {
    let Some(clause) = clause.filter(|clause| clause.kind == Subject::Me) else {
        return question.contains("name") && tokens.iter().any(|token| token.is("name"));
    };
    let copula = clause.main == clause.verb && verbs::is_be(&tokens[clause.verb].lower);
    let job = tokens.iter().any(|token| {
        crate::tiny::english::words::people::is_job(&token.lower)
            || token.is_any(&["works", "worked"])
    });
    match () {
        () if question.contains("for a living")
            || question.starts_with("what do you do")
            || question.starts_with("what did you do") =>
        {
            job
        }
        () if question.contains("old") => tokens
            .iter()
            .any(|token| token.is("old") || token.is("age")),
        () => copula,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relevance_needs_shared_words_and_the_right_kind() {
        let check = |statement: &str, question: &str, expected: bool| {
            assert_eq!(
                is_relevant("Alice", statement, question),
                expected,
                "{statement} {question}"
            )
        };
        check("Alice plays the guitar.", "What do you play?", true);
        check("Alice lives in Paris.", "Where do you live, Alice?", true);
        check("Alice plays the guitar.", "Where do you live?", false);
        check(
            "Alice's mother is a nurse.",
            "What can you tell me about your mother?",
            true,
        );
        check("Alice is a painter.", "Who are you?", true);
        check(
            "Alice is a painter.",
            "What can you tell me about your mother?",
            false,
        );
        check("Alice is 26 years old.", "How old are you?", true);
    }
}
