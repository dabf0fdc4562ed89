//! Invented personas with questions and replies whose label is known: what the embedded models are trained on.
//!
//! Values come from wide lists and random syllables, so a model cannot remember them: it must copy from the
//! statement and compare with it. Half of the facts follow hand-made kinds (`text/kinds_*.txt`), half a grammar.

mod grammar;
mod kinds;
mod lexicon;
mod neutral;
mod patterns;
mod predicate;
mod questions;
mod replies;
mod template;
mod verbs;
mod words;

use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use kinds::{KINDS, Lines};
use template::{Filling, Person};

pub(crate) use words::{invented as invented_word, invented_long as long_invented_word};

/// A reply, and where it disagrees with the statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// the words
    pub text: String,
    /// byte ranges of the words that disagree: a swapped value, an added or dropped negation
    pub changed: Vec<Range<usize>>,
}

/// One thing that is true of a persona.
#[derive(Debug, Clone)]
pub struct Fact {
    /// third person, with the name: "Mira plays the cello in a café on Sundays."
    pub statement: String,
    /// differently worded questions in the second person that the statement answers
    pub questions: Vec<String>,
    /// facts of the same kind may answer each other's questions
    pub kind: usize,
    name: String,
    woman: bool,
    lines: Arc<Lines>,
    values: Vec<String>,
    positive: bool,
    statement_idx: usize,
    contracted: bool,
    asked: Vec<Asked>,
}

/// What a question is after.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// bits of the slots asked for; 0 in an open question
    asks: u8,
    /// whether yes is the right answer, if the question is of that sort
    yes_no: Option<bool>,
    /// the wrong value named in the question, and its slot
    lure: Option<(usize, String)>,
    auxiliary: &'static str,
}

/// Somebody invented.
#[derive(Debug, Clone)]
pub struct Persona {
    /// the first name, sometimes with a surname; the facts use the first name
    pub name: String,
    /// what is true of them, each of another kind
    pub facts: Vec<Fact>,
}

impl Persona {
    /// The name that the facts use.
    pub fn first_name(&self) -> &str {
        self.name.split(' ').next().unwrap_or(&self.name)
    }

    /// She or he.
    pub fn pronoun(&self) -> &'static str {
        if self.facts.first().is_some_and(|fact| fact.woman) {
            "she"
        } else {
            "he"
        }
    }
}

/// An invented character with `n_facts` facts, no two of one kind.
pub fn persona(n_facts: usize, rng: &mut ChaCha8Rng) -> Persona {
    let woman = rng.random_bool(0.5);
    let list = if woman { "woman" } else { "man" };
    let first = if rng.random_bool(0.5) {
        words::invented(true, rng)
    } else {
        lexicon::draw_named(list, rng)
    };
    let mut facts: Vec<Fact> = Vec::with_capacity(n_facts);
    let mut tries = 0;
    while facts.len() < n_facts {
        tries += 1;
        let lines = if rng.random_bool(0.5) && tries < 20 * n_facts {
            KINDS[rng.random_range(0..KINDS.len())].clone()
        } else {
            grammar::composed(rng)
        };
        if tries > 100 * n_facts || facts.iter().all(|fact| fact.kind != lines.kind) {
            facts.push(fact(&first, woman, lines, rng));
        }
    }
    let name = if rng.random_bool(0.2) {
        format!("{first} {}", lexicon::draw_named("surname", rng))
    } else {
        first
    };
    Persona { name, facts }
}

/// A reply that says nothing for or against the fact: about something else, evasive, or chit-chat.
///
/// Nothing in it counts as changed. An index beyond the end gives an empty reply.
pub fn neutral(
    persona: &Persona,
    fact_idx: usize,
    question_idx: usize,
    rng: &mut ChaCha8Rng,
) -> Reply {
    let Some(fact) = persona.facts.get(fact_idx) else {
        return Reply {
            text: String::new(),
            changed: Vec::new(),
        };
    };
    neutral::neutral(persona, fact, &fact.asked_at(question_idx), rng)
}

impl Fact {
    /// The statement in the first person, in its own words: the answer of the embedded model to any question about it.
    pub fn answer(&self, _question_idx: usize) -> String {
        replies::plain_answer(self).text
    }

    /// A reply that follows from the statement, in one of many wordings.
    pub fn entailed(&self, question_idx: usize, rng: &mut ChaCha8Rng) -> Reply {
        replies::entailed(self, &self.asked_at(question_idx), rng)
    }

    /// A reply that contradicts the statement: another value, a denial, or the affirmation of what it denies.
    pub fn contradicted(&self, question_idx: usize, rng: &mut ChaCha8Rng) -> Reply {
        replies::contradicted(self, &self.asked_at(question_idx), rng)
    }

    fn asked_at(&self, question_idx: usize) -> Asked {
        self.asked.get(question_idx).cloned().unwrap_or_default()
    }

    fn statement_line(&self) -> &str {
        let lines = if self.positive {
            &self.lines.statements
        } else {
            &self.lines.negatives
        };
        lines.get(self.statement_idx).map_or("", |line| &line.text)
    }

    /// A value for the slot that the fact has nowhere.
    fn other_value(&self, slot: usize, rng: &mut ChaCha8Rng) -> String {
        let (section, truth) = (self.lines.slots[slot], &self.values[slot]);
        let mut other = lexicon::other(section, truth, rng);
        for _ in 0..8 {
            if !self.values.contains(&other) {
                break;
            }
            other = lexicon::other(section, truth, rng);
        }
        other
    }

    /// Bits of the slots that the statement names; nothing else may be asked or said of it.
    fn stated(&self) -> u8 {
        template::slots(self.statement_line()).0
    }

    fn told(
        &self,
        pattern: &str,
        person: Person,
        values: &[String],
        others: &[String],
        marked: bool,
    ) -> String {
        let filling = Filling {
            name: &self.name,
            woman: self.woman,
            values,
            others,
            marked,
        };
        template::render(pattern, person, &filling)
    }
}

fn fact(name: &str, woman: bool, lines: Arc<Lines>, rng: &mut ChaCha8Rng) -> Fact {
    let mut values: Vec<String> = Vec::with_capacity(lines.slots.len());
    for slot in &lines.slots {
        let mut value = lexicon::draw(*slot, rng);
        if values.contains(&value) || value.contains(name) {
            value = lexicon::other(*slot, &value, rng);
        }
        values.push(value);
    }
    let made = lines.kind < grammar::FIRST_KIND;
    let positive = !lines.both || rng.random_bool(if made { 0.5 } else { 0.64 });
    let n_statements = if positive {
        lines.statements.len()
    } else {
        lines.negatives.len()
    };
    let mut fact = Fact {
        statement: String::new(),
        questions: Vec::new(),
        kind: lines.kind,
        name: name.to_owned(),
        woman,
        values,
        positive,
        statement_idx: rng.random_range(0..n_statements.max(1)),
        contracted: rng.random_bool(0.3),
        asked: Vec::new(),
        lines,
    };
    let told = fact.told(
        fact.statement_line(),
        Person::Third,
        &fact.values,
        &[],
        false,
    );
    fact.statement = template::finish(&format!("{told}."), fact.contracted).text;
    questions::ask(&mut fact, rng);
    fact
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

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
