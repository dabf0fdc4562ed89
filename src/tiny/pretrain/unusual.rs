//! Statements in words that no pattern has, as pages written by people are.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::tiny::invented::{self, Persona, invented_word, long_invented_word};

/// Words that say who or whether, which must not come to stand where they make no sense.
const PRONOUNS: [&str; 12] = [
    "he", "she", "him", "her", "his", "hers", "himself", "herself", "they", "them", "their", "not",
];
/// Words between who and does, or behind is, that no pattern has.
const ADVERBS: [&str; 24] = [
    "also",
    "still",
    "always",
    "never",
    "often",
    "seldom",
    "rarely",
    "sometimes",
    "usually",
    "only",
    "once",
    "nearly",
    "now",
    "already",
    "secretly",
    "quietly",
    "really",
    "simply",
    "mostly",
    "later",
    "even",
    "gladly",
    "almost",
    "again",
];
/// Forms behind which an adverb stands.
const AUXILIARIES: [&str; 20] = [
    "is", "was", "has", "had", "does", "did", "can", "could", "cannot", "will", "would", "should",
    "may", "might", "must", "isn't", "wasn't", "doesn't", "didn't", "hasn't",
];
/// What joins a second sentence about the same person.
const CONJUNCTIONS: [&str; 12] = [
    "and",
    "and",
    ", but",
    ", because",
    ", although",
    ", so",
    ", while",
    "when",
    "before",
    "after",
    "since",
    "until",
];
/// From the name on, these words say whom a statement is about and what he does or is.
const OPENING: usize = 3;

/// The persona's first `n` statements with some words changed for others and a few added, some with an adverb and some
/// with a second sentence about the same person behind them, so that a reply to a question about one can only be copied.
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
    let name = format!("{} ", persona.first_name());
    // What a second sentence says is nowhere else, or a question would have two answers.
    let more = second_sentences(persona.pronoun(), n, rng);
    persona.facts[..n]
        .iter()
        .enumerate()
        .map(|(fact_idx, fact)| {
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
            if fact.statement.starts_with(&name) {
                if rng.random_bool(0.3) {
                    let adverb = ADVERBS[rng.random_range(0..ADVERBS.len())];
                    let behind =
                        |word: &&String| AUXILIARIES.contains(&&word[..]) || *word == "not";
                    let place = 1 + out[1..].iter().take_while(behind).count();
                    out.insert(place, adverb.to_string());
                }
                if rng.random_bool(0.3)
                    && let Some(other) = more.get(fact_idx)
                {
                    let conjunction = CONJUNCTIONS[rng.random_range(0..CONJUNCTIONS.len())];
                    let who = if conjunction == "and" && rng.random_bool(0.5) {
                        String::new()
                    } else {
                        format!(" {}", persona.pronoun())
                    };
                    out.push(format!("{conjunction}{who} {other}"));
                }
            }
            out.join(" ").replace(" ,", ",") + "."
        })
        .collect()
}

/// What somebody else with that pronoun is said to do or be, without the name; `n` such or fewer.
fn second_sentences(pronoun: &str, n: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let persona = loop {
        let persona = invented::persona(n, rng);
        if persona.pronoun() == pronoun {
            break persona;
        }
    };
    let name = format!("{} ", persona.first_name());
    let rests = persona
        .facts
        .iter()
        .filter_map(|fact| fact.statement.strip_prefix(&name));
    rests
        .map(|rest| rest.trim_end_matches('.').to_string())
        .collect()
}

fn is_plain(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase()) && !PRONOUNS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::pretrain::examples::example_rng;

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
                assert_eq!(opening(&text)[0], opening(&fact.statement)[0]);
                changed += usize::from(text != fact.statement);
                all += 1;
            }
        }
        assert_eq!(all, 400);
        assert!(changed > 250, "{changed}");
    }

    #[test]
    fn some_have_an_adverb_and_some_a_second_sentence_about_the_same_person() {
        let (mut adverbs, mut seconds) = (0, 0);
        for number in 0..100 {
            let mut rng = example_rng(5, number);
            let persona = invented::persona(5, &mut rng);
            for text in unusual_statements(&persona, 5, &mut rng) {
                let words: Vec<&str> = text.split(' ').take(4).collect();
                adverbs += usize::from(words.iter().any(|word| ADVERBS.contains(word)));
                let second = format!(" {} ", persona.pronoun());
                seconds += usize::from(
                    CONJUNCTIONS
                        .iter()
                        .any(|conjunction| text.contains(&format!("{conjunction}{second}"))),
                );
            }
        }
        assert!(adverbs > 80 && seconds > 60, "{adverbs} {seconds}");
    }
}
