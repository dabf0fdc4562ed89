//! Replies in line with a statement and against it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::negate;
use super::said::{OPENERS, Opening, Said, decapitalize, pick, written};
use super::swap;
use super::word::{Word, words as unchanged};
use crate::tiny::Reply;
use crate::tiny::english::judge::relevance;
use crate::tiny::english::words::tokens::{Token, content};

/// Returns a reply that follows from the statement.
pub fn entailed(character: &str, statement: &str, question: &str, rng: &mut ChaCha8Rng) -> Reply {
    let said = Said::of(character, statement);
    let short = said.shortened(rng);
    let opening = if asks_whether(statement, question) && rng.random_bool(0.7) {
        Opening::Agreeing(agreement(&said))
    } else if rng.random_bool(0.25) {
        Opening::Agreeing(pick(OPENERS, rng))
    } else {
        Opening::None
    };
    written(opening, unchanged(&short.tokens))
}

/// Returns the "Yes," or "No," of a reply that follows from the statement; `None` if the question does not ask whether the statement holds.
pub fn agrees(character: &str, statement: &str, question: &str) -> Option<&'static str> {
    asks_whether(statement, question).then(|| agreement(&Said::of(character, statement)))
}

/// Returns a reply that contradicts the statement; `others` are the character's other statements, which may lend a wrong value.
pub fn contradicted(
    character: &str,
    statement: &str,
    question: &str,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Reply {
    let said = Said::of(character, statement);
    let negate = said
        .clause
        .as_ref()
        .is_some_and(|clause| negate::can_negate(&said.tokens, clause))
        && (said.is_negated() || rng.random_bool(0.35));
    let short = said.shortened(rng);
    let mut swapped = None;
    if !negate {
        swapped = swap::swapped(character, &short.tokens, short.clause.as_ref(), others, rng)
            .or_else(|| swap::swapped(character, &said.tokens, said.clause.as_ref(), others, rng));
    }
    let words = match (swapped, &short.clause) {
        (Some(words), _) => words,
        (None, Some(_)) => {
            let core = said.cut();
            match &core.clause {
                Some(clause) => negate::negated(&core.tokens, clause, rng),
                None => return denied(&said),
            }
        }
        (None, None) => return denied(&said),
    };
    let opening = if asks_whether(statement, question) && rng.random_bool(0.7) {
        let agrees = if said.is_negated() { "Yes," } else { "No," };
        Opening::Disagreeing(agrees)
    } else if rng.random_bool(0.25) {
        Opening::Agreeing(pick(OPENERS, rng))
    } else {
        Opening::None
    };
    written(opening, words)
}

fn agreement(said: &Said) -> &'static str {
    if said.is_negated() { "No," } else { "Yes," }
}

/// A denial of a sentence whose structure is not understood.
fn denied(said: &Said) -> Reply {
    let mut words: Vec<Word> = ["It", "is", "not", "true", "that"]
        .iter()
        .map(|text| Word {
            token: Token::new(text, true),
            changed: *text == "not" || *text == "true",
        })
        .collect();
    let mut rest = unchanged(&said.tokens);
    if let Some(first) = rest.first_mut() {
        first.token.space = true;
    }
    decapitalize(&mut rest);
    words.extend(rest);
    written(Opening::None, words)
}

/// Whether the question asks if the statement holds.
fn asks_whether(statement: &str, question: &str) -> bool {
    relevance::is_yes_no(question) && {
        let own: std::collections::HashSet<String> = content(statement).into_iter().collect();
        let asked = content(question);
        asked.iter().filter(|word| own.contains(*word)).count() * 3 >= asked.len() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn others() -> Vec<String> {
        [
            "Alice lives in Paris.",
            "Alice's mother is a nurse.",
            "Alice was taught by Maria.",
            "Alice has a dog.",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn contradictions_differ_in_the_marked_words() {
        for statement in [
            "Alice plays the guitar.",
            "Alice was born in Bonn in 1984.",
            "Alice is introverted.",
            "Alice does not like dogs.",
            "Alice collects stamps.",
        ] {
            let first = crate::tiny::english::first_person("Alice", statement);
            for seed in 0..50 {
                let reply = contradicted(
                    "Alice",
                    statement,
                    "Tell me about it.",
                    &others(),
                    &mut ChaCha8Rng::seed_from_u64(seed),
                );
                assert!(
                    !reply.changed.is_empty() && !reply.text.contains(&first),
                    "{}",
                    reply.text
                );
                for range in &reply.changed {
                    assert!(
                        reply
                            .text
                            .get(range.clone())
                            .is_some_and(|word| !word.is_empty() && !word.contains(' ')),
                        "{}",
                        reply.text
                    );
                }
            }
        }
    }

    #[test]
    fn a_question_whether_a_statement_holds_is_agreed_to_or_denied() {
        let agreed = |statement, question| agrees("Alice", statement, question);
        let question = "Do you like dogs?";
        assert_eq!(agreed("Alice likes dogs.", question), Some("Yes,"));
        assert_eq!(agreed("Alice does not like dogs.", question), Some("No,"));
        assert_eq!(agreed("Alice likes dogs.", "What do you like?"), None);
        assert_eq!(agreed("Alice lives in Bonn.", question), None);
    }

    #[test]
    fn entailed_replies_keep_the_words_of_the_statement() {
        let own = content("I play the guitar.");
        for seed in 0..20 {
            let reply = entailed(
                "Alice",
                "Alice plays the guitar.",
                "Do you play the guitar?",
                &mut ChaCha8Rng::seed_from_u64(seed),
            );
            assert!(
                reply.changed.is_empty()
                    && own.iter().all(|word| content(&reply.text).contains(word)),
                "{}",
                reply.text
            );
        }
    }
}
