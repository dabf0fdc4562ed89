//! Questions to a persona about a fact: for its values, whether it or something false is true, and open ones.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::fact::{Asked, Fact};
use super::kinds::QuestionLine;
use super::lexicon;
use super::template::{self, Person};

/// Fills in four to seven questions.
pub(super) fn ask(fact: &mut Fact, rng: &mut ChaCha8Rng) {
    let lines = fact.lines.clone();
    let mut usable: Vec<&QuestionLine> = lines
        .questions
        .iter()
        .filter(|line| fact.positive || !line.only_positive)
        .filter(|line| (line.asks | line.names) & !fact.stated() == 0)
        .collect();
    usable.shuffle(rng);
    usable.truncate(rng.random_range(4..=7));
    for line in usable {
        let mut values = fact.values.clone();
        let mut asked = Asked {
            asks: line.asks,
            auxiliary: auxiliary(&line.text),
            ..Asked::default()
        };
        if line.yes_no {
            asked.yes_no = Some(fact.positive);
            let slots: Vec<usize> = (0..values.len())
                .filter(|slot| line.asks & !lines.many & (1 << slot) != 0)
                .collect();
            if fact.positive && !slots.is_empty() && rng.random_bool(0.5) {
                let slot = slots[rng.random_range(0..slots.len())];
                let lure = fact.other_value(slot, rng);
                values[slot].clone_from(&lure);
                asked.yes_no = Some(false);
                asked.asks = 1 << slot;
                asked.lure = Some((slot, lure));
            }
        }
        let text = fact.told(&line.text, Person::Second, &values, &[], false);
        let question = spoken_to(&fact.name, text, rng);
        fact.questions
            .push(template::finish(&question, rng.random_bool(0.5)).text);
        fact.asked.push(asked);
    }
}

/// The question with the name or some words of courtesy, at times.
fn spoken_to(name: &str, text: String, rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..100) {
        0..6 if text.ends_with('?') => format!("{}, {name}?", text.trim_end_matches('?')),
        6..10 => format!("{name}, {text}"),
        10..18 if text.ends_with('?') => format!("{} {text}", lexicon::draw_named("asklead", rng)),
        _ => text,
    }
}

fn auxiliary(question: &str) -> &'static str {
    let known = [
        "do you ",
        "did you ",
        "are you ",
        "were you ",
        "can you ",
        "have you ",
    ];
    known
        .iter()
        .find(|start| question.starts_with(**start))
        .map_or("", |start| start.trim_end_matches(" you "))
}
