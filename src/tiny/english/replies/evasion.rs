//! Replies which leave a statement alone.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::said::{OPENERS, Opening, Said, pick, written};
use super::word::words as unchanged;
use crate::persona::Nli;
use crate::tiny::Reply;
use crate::tiny::english::judge::label;
use crate::tiny::english::words::tokens::{self, content};

const EVASIONS: &[&str] = &[
    "I would rather not talk about that",
    "that is a story for another day",
    "I have not thought much about it",
    "you would have to ask someone else",
    "let us speak of something else",
    "I could not say",
    "that is hard to put into words",
    "I keep such things to myself",
    "why do you want to know",
    "that is an interesting question",
    "I am not sure what to tell you",
    "there is not much to say about it",
    "I will leave that to your imagination",
    "I do not remember it well",
];

const EVASION_OPENERS: &[&str] = &[
    "Hmm,",
    "Well,",
    "Ah,",
    "I am sorry, but",
    "Forgive me, but",
    "Oh,",
    "To be honest,",
];
const EVASION_ENDS: &[&str] = &[
    "",
    "",
    "",
    "Perhaps another time.",
    "What about you?",
    "Shall we talk about something else?",
    "Ask me again tomorrow.",
    "It is good of you to ask, though.",
];

/// Returns a reply that says nothing for or against the statement.
pub fn neutral(
    character: &str,
    statement: &str,
    question: &str,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Reply {
    let own: std::collections::HashSet<String> = content(statement).into_iter().collect();
    if !others.is_empty() && rng.random_bool(0.6) {
        for _ in 0..8 {
            let Some(other) = others.choose(rng) else {
                break;
            };
            let words = content(other);
            let shared = words.iter().filter(|word| own.contains(*word)).count();
            if other == statement || words.is_empty() || shared * 4 > words.len() + 3 {
                continue;
            }
            let said = Said::of(character, other).shortened(rng);
            let opening = if rng.random_bool(0.25) {
                Opening::Agreeing(pick(&OPENERS[..5], rng))
            } else {
                Opening::None
            };
            let reply = written(opening, unchanged(&said.tokens));
            if label(character, statement, question, &reply.text) == Nli::Neutral {
                return reply;
            }
        }
    }
    let mut text = evasion(rng);
    for _ in 0..8 {
        if label(character, statement, question, &text) == Nli::Neutral {
            break;
        }
        text = evasion(rng);
    }
    Reply {
        text,
        changed: Vec::new(),
    }
}

/// An answer that tells nothing, put together from parts.
fn evasion(rng: &mut ChaCha8Rng) -> String {
    let mut text = pick(EVASIONS, rng).to_owned();
    if rng.random_bool(0.6) {
        text = format!("{} {text}", pick(EVASION_OPENERS, rng));
    }
    let mark = if text.contains("why do you") {
        '?'
    } else {
        '.'
    };
    let text = format!("{}{mark}", tokens::capitalized(&text));
    match pick(EVASION_ENDS, rng) {
        "" => text,
        end => format!("{text} {end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_seed_gives_the_same_reply_and_it_says_nothing() {
        let others = ["Alice lives in Paris.", "Alice's mother is a nurse."].map(str::to_owned);
        for seed in 0..30 {
            let reply = || {
                neutral(
                    "Alice",
                    "Alice plays the guitar.",
                    "What do you play?",
                    &others,
                    &mut ChaCha8Rng::seed_from_u64(seed),
                )
                .text
            };
            assert_eq!(reply(), reply());
            assert!(!reply().contains("guitar"));
        }
    }
}
