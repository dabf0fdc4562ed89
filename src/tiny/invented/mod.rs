//! Invented personas with questions and replies whose label is known: what the embedded models are trained on.
//!
//! Values come from wide lists and random syllables, so a model cannot remember them: it must copy from the
//! statement and compare with it. Half of the facts follow hand-made kinds (`text/kinds_*.txt`), half a grammar.
//!
//! A [`Persona`] has [`Fact`]s. A fact has the sentence patterns of its kind: `kinds` reads the hand-made ones, `grammar` composes others with
//! `patterns`, `predicate` and `verbs`. `template` fills patterns in with values of the `lexicon`; `questions`, `replies` and `neutral` choose
//! among them. The rules that read people's pages are in [`english`](super::english); nothing here parses foreign text.

mod fact;
mod grammar;
mod kinds;
mod lexicon;
mod neutral;
mod patterns;
mod persona;
mod predicate;
mod questions;
mod replies;
mod template;
mod verbs;
mod words;

pub use fact::Fact;
pub use neutral::neutral;
pub use persona::{Persona, persona};
pub(crate) use words::{invented as invented_word, invented_long as long_invented_word};

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn each_fact(seed: u64, check: impl Fn(&Persona, usize, &mut ChaCha8Rng)) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..400 {
            let persona = persona(5, &mut rng);
            assert_eq!(persona.facts.len(), 5);
            for idx in 0..5 {
                check(&persona, idx, &mut rng);
            }
        }
    }

    fn check_text(text: &str) {
        assert!(
            !text.contains("  ")
                && !text.contains(" .")
                && !text.contains(" ,")
                && !text.contains(".."),
            "{text}"
        );
        assert!(
            !text.contains(['{', '}', '[', ']', '<', '>', '|', '\u{1}', '\u{2}', '\u{3}']),
            "{text}"
        );
        for (article, starts) in [("a ", "aeiou"), ("an ", "bcdfgjklmnpqrstvwxyz")] {
            for (at, _) in text.match_indices(article) {
                let word = &text[at + article.len()..];
                let alone = text[..at].ends_with(' ');
                let odd = ["uni", "use", "usu", "eu", "one", "uku"]
                    .iter()
                    .any(|start| word.starts_with(start));
                assert!(
                    !alone || odd || !word.starts_with(|letter| starts.contains(letter)),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_persona() {
        let facts = |seed| {
            persona(6, &mut ChaCha8Rng::seed_from_u64(seed))
                .facts
                .iter()
                .map(|f| f.statement.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(facts(3), facts(3));
        assert_ne!(facts(3), facts(4));
    }

    #[test]
    fn a_persona_has_no_two_facts_of_a_kind_and_each_names_it() {
        each_fact(5, |persona, idx, _| {
            let fact = &persona.facts[idx];
            assert!(
                persona.facts[..idx]
                    .iter()
                    .all(|other| other.kind != fact.kind)
            );
            assert!(
                fact.statement
                    .contains(persona.name.split(' ').next().unwrap_or_default()),
                "{}",
                fact.statement
            );
            assert!(
                fact.questions.len() >= 4
                    && fact
                        .questions
                        .iter()
                        .all(|question| question.ends_with(['?', '.']))
            );
            check_text(&fact.statement);
            check_text(&fact.answer(0));
            fact.questions
                .iter()
                .for_each(|question| check_text(question));
        });
    }

    #[test]
    fn only_contradictions_have_changed_words_and_they_lie_inside_the_text() {
        each_fact(7, |persona, idx, rng| {
            let fact = &persona.facts[idx];
            for question in 0..fact.questions.len() {
                let replies = [
                    fact.entailed(question, rng),
                    neutral(persona, idx, question, rng),
                ];
                for reply in &replies {
                    assert!(reply.changed.is_empty(), "{}", reply.text);
                    check_text(&reply.text);
                }
                let wrong = fact.contradicted(question, rng);
                assert!(
                    !wrong.changed.is_empty(),
                    "{} / {}",
                    fact.statement,
                    wrong.text
                );
                check_text(&wrong.text);
                for range in &wrong.changed {
                    assert!(
                        wrong
                            .text
                            .get(range.clone())
                            .is_some_and(|words| !words.trim().is_empty()),
                        "{}",
                        wrong.text
                    );
                }
            }
        });
    }
}
