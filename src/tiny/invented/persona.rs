//! Somebody invented: a name and facts of different kinds.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::fact::Fact;
use super::kinds::{KINDS, Lines};
use super::template::{self, Person};
use super::{grammar, lexicon, questions, words};

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
