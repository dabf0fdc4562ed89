//! Statements in words that no pattern has, as pages written by people are.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::teacher::invented::{Persona, invented_word, long_invented_word};

/// Words that say who or whether, which must not come to stand where they make no sense.
const PRONOUNS: [&str; 12] = [
    "he", "she", "him", "her", "his", "hers", "himself", "herself", "they", "them", "their", "not",
];
/// From the name on, these words say whom a statement is about and what he does or is.
const OPENING: usize = 3;

/// The persona's first `n` statements with some words changed for others and a few added, so that a reply to a question
/// about one can only be copied.
pub(super) fn unusual_statements(persona: &Persona, n: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut words: Vec<&str> = persona
        .facts
        .iter()
        .flat_map(|fact| fact.statement.split_whitespace().skip(OPENING))
        .filter(|word| is_plain(word))
        .collect();
    words.shuffle(rng);
    let mut draw = words.into_iter().map(str::to_string).cycle();
    let mut other = |rng: &mut ChaCha8Rng| match draw.next() {
        Some(word) if rng.random_bool(0.5) => word,
        _ if rng.random_bool(0.5) => long_invented_word(rng),
        _ => invented_word(rng.random_bool(0.2), rng),
    };
    persona.facts[..n]
        .iter()
        .map(|fact| {
            let text = fact.statement.trim_end_matches('.');
            let named = text
                .split(' ')
                .position(|word| word.starts_with(persona.first_name()))
                .unwrap_or(0);
            let mut out: Vec<String> = text
                .split(' ')
                .enumerate()
                .map(|(place, word)| {
                    if place >= named + OPENING && is_plain(word) && rng.random_bool(0.3) {
                        other(rng)
                    } else {
                        word.to_string()
                    }
                })
                .collect();
            if rng.random_bool(0.6) {
                for _ in 0..rng.random_range(1..=7) {
                    out.push(other(rng));
                }
            }
            out.join(" ") + "."
        })
        .collect()
}

fn is_plain(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase()) && !PRONOUNS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretrain::examples::example_rng;
    use crate::teacher::invented;

    #[test]
    fn unusual_statements_keep_whom_they_are_about_and_are_mostly_new() {
        let (mut changed, mut all) = (0, 0);
        for number in 0..100 {
            let mut rng = example_rng(3, number);
            let persona = invented::persona(5, &mut rng);
            for (fact, text) in persona
                .facts
                .iter()
                .zip(unusual_statements(&persona, 4, &mut rng))
            {
                let opening = |text: &str| -> Vec<String> {
                    let words = text.trim_end_matches('.').split(' ');
                    words.take(OPENING).map(str::to_string).collect()
                };
                assert_eq!(opening(&text)[..2], opening(&fact.statement)[..2]);
                changed += usize::from(text != fact.statement);
                all += 1;
            }
        }
        assert_eq!(all, 400);
        assert!(changed > 250, "{changed}");
    }
}
