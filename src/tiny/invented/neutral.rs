//! Replies that say nothing for or against a fact: about another, about somebody else, evasive, or chit-chat.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::fact::{Asked, Fact};
use super::kinds::{self, Line};
use super::lexicon::{self, draw_named};
use super::persona::Persona;
use super::replies::{Body, chatty, choose, choose_slot, plain_answer};
use super::template::{self, Person};
use super::words;
use crate::tiny::Reply;

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
    neutral_to(persona, fact, &fact.asked_at(question_idx), rng)
}

/// A reply that says nothing for or against the fact.
fn neutral_to(persona: &Persona, fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Reply {
    let dice = rng.random_range(0..100);
    let text = match dice {
        0..14 if fact.lines.open => of_another_value(fact, asked, rng),
        0..48 => of_another_fact(persona, fact, rng),
        48..68 => beside_the_point(fact, rng),
        68..76 => of_somebody_else(fact, rng),
        _ => None,
    };
    if let Some(text) = text {
        let body = Body {
            text,
            opens_with: None,
            must_open: false,
        };
        return chatty(body, asked, rng);
    }
    let text = draw_named(
        if asked.yes_no.is_some() {
            "vague"
        } else {
            "vague_or_not"
        },
        rng,
    );
    let text = fact.told(&text, Person::First, &[], &[], false);
    template::finish(&text, rng.random_bool(0.7))
}

/// Something that may be true besides: "I like plums" of somebody who likes rice.
fn of_another_value(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<String> {
    let lines = if fact.positive {
        &fact.lines.statements
    } else {
        &fact.lines.negatives
    };
    let wanted = |line: &&Line| line.values & 1 == 1 && line.values & !fact.stated() == 0;
    let line = choose(&lines.iter().filter(wanted).collect::<Vec<_>>(), rng)?;
    let wh_question = asked.yes_no.is_none() && asked.asks & 1 == 1;
    let mut values = fact.values.clone();
    values[0] = values.first().map(|_| fact.other_value(0, rng))?;
    (!wh_question).then(|| fact.told(&line.text, Person::First, &values, &[], false))
}

/// Something true or false about the persona of another kind than the fact.
fn of_another_fact(persona: &Persona, fact: &Fact, rng: &mut ChaCha8Rng) -> Option<String> {
    let others: Vec<&Fact> = persona
        .facts
        .iter()
        .filter(|other| other.kind != fact.kind)
        .collect();
    choose(&others, rng).map(|other| about_itself(other, rng))
}

/// Chit-chat that comes with the kind of fact.
fn beside_the_point(fact: &Fact, rng: &mut ChaCha8Rng) -> Option<String> {
    let chatter: Vec<&Line> = fact.lines.chatter.iter().collect();
    let line = choose(&chatter, rng)?;
    let mut values = fact.values.clone();
    for (value, slot) in values.iter_mut().zip(&fact.lines.slots) {
        if rng.random_bool(0.5) {
            *value = lexicon::other(*slot, value, rng);
        }
    }
    Some(fact.told(&line.text, Person::First, &values, &[], false))
}

/// Kinds of facts that can be true of one person only.
const UNIQUE: [&str; 7] = [
    "spouse",
    "founded",
    "works",
    "candidate",
    "known",
    "ship",
    "prize",
];

/// The same thing, or much the same, said of another person.
fn of_somebody_else(fact: &Fact, rng: &mut ChaCha8Rng) -> Option<String> {
    let unique = UNIQUE
        .iter()
        .any(|name| kinds::number(name) == Some(fact.kind));
    if unique || !fact.positive {
        return None;
    }
    let name = draw_named("somebody", rng);
    let name = fact.told(&name, Person::First, &[], &[], false);
    let other = Fact {
        woman: !words::is_male(&name),
        name,
        ..fact.clone()
    };
    let mut values = fact.values.clone();
    if rng.random_bool(0.4)
        && let Some(slot) = choose_slot(fact.stated(), 0, rng)
    {
        values[slot] = lexicon::other(fact.lines.slots[slot], &values[slot], rng);
    }
    Some(other.told(fact.statement_line(), Person::Third, &values, &[], false))
}

/// What the fact, or the false version of it, says on its own, without regard to a question.
fn about_itself(fact: &Fact, rng: &mut ChaCha8Rng) -> String {
    let lines = &fact.lines;
    let full: Vec<&Line> = if fact.positive != rng.random_bool(0.3) {
        let partials = lines.partials.iter().filter(|_| rng.random_bool(0.6));
        lines
            .statements
            .iter()
            .chain(&lines.replies)
            .chain(partials)
            .collect()
    } else {
        lines
            .negatives
            .iter()
            .chain(&lines.negative_replies)
            .collect()
    };
    let Some(line) = choose(&full, rng) else {
        return plain_answer(fact).text;
    };
    let mut values = fact.values.clone();
    if rng.random_bool(0.5)
        && let Some(slot) = choose_slot(line.values, 0, rng)
    {
        values[slot] = lexicon::other(fact.lines.slots[slot], &values[slot], rng);
    }
    let others = fact
        .values
        .iter()
        .zip(&lines.slots)
        .map(|(value, slot)| lexicon::other(*slot, value, rng))
        .collect::<Vec<_>>();
    fact.told(&line.text, Person::First, &values, &others, false)
}
