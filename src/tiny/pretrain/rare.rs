//! Rare and invented words in place of the corpus' own, so that replies are copied and not remembered.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::{invented_word, long_invented_word};
use super::talk::Turn;
use crate::tiny::english::capitalized;

/// The share of examples with other words.
const EXAMPLES: f64 = 0.65;
/// The largest share of the words that are replaced in an example.
const WORDS: f64 = 0.7;
/// The shortest word that is replaced.
const SHORTEST: usize = 4;

/// Words of the prompt's template, and words that hold sentences together.
const KEPT: &str = "reply short sentence model user start turn with that from this they them their have does doesn been were \
                    when which while after before every never always about into over than then what your only very just \
                    because until since would could will cannot there where whose once other another also more most such each \
                    both didn isn wasn hasn won know don who his her she him but not and for";

/// Words for other words.
#[derive(Clone, Debug, Default)]
pub(super) struct RareWords {
    /// Words of English at large; if there are none, all are invented.
    pub(super) words: Vec<String>,
}

impl RareWords {
    /// Replaces some words that replies have copied from the statements, in all prompts and replies alike.
    pub(super) fn replace(&self, turns: &mut [Turn], name: &str, rng: &mut ChaCha8Rng) {
        let Some((prompt, _)) = turns.first().filter(|_| rng.random_bool(EXAMPLES)) else {
            return;
        };
        let share = rng.random_range(0.1..WORDS);
        let statements = prompt.split("\nReply as ").next().unwrap_or_default();
        let lower =
            |text: &str| -> BTreeSet<String> { words(text).map(str::to_lowercase).collect() };
        let replied: BTreeSet<String> = turns.iter().flat_map(|(_, reply)| lower(reply)).collect();
        let (kept, named) = (lower(KEPT), lower(name));
        let mut others = BTreeMap::new();
        for word in lower(statements) {
            let is_free = word.chars().count() >= SHORTEST
                && replied.contains(&word)
                && !kept.contains(&word)
                && !named.contains(&word);
            if is_free && rng.random_bool(share) {
                others.insert(word, self.draw(rng));
            }
        }
        for (prompt, reply) in turns {
            *prompt = replaced(prompt, &others);
            *reply = replaced(reply, &others);
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> String {
        let any = |rng: &mut ChaCha8Rng| match self.words.is_empty() {
            true => invented_word(false, rng),
            false => self.words[rng.random_range(0..self.words.len())].clone(),
        };
        match rng.random_range(0..5) {
            0 => long_invented_word(rng),
            1 => invented_word(false, rng),
            // As "seahorse": its first half is a word, too, behind which the second must come.
            2 => any(rng) + &any(rng),
            _ => any(rng),
        }
    }
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
}

/// A text with other words, which are written large where the old ones were.
fn replaced(text: &str, others: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = |is_word: bool| {
            let found = rest.find(|c: char| c.is_alphabetic() != is_word);
            found.unwrap_or(rest.len())
        };
        let is_word = rest.starts_with(char::is_alphabetic);
        let (piece, after) = rest.split_at(end(is_word));
        match others.get(&piece.to_lowercase()) {
            Some(other) if piece.starts_with(char::is_uppercase) => {
                out.push_str(&capitalized(other));
            }
            Some(other) => out.push_str(other),
            None => out.push_str(piece),
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::recipe::example_rng;
    use super::*;
    use crate::persona::paper_prompt;

    #[test]
    fn copied_words_are_the_same_others_everywhere() {
        let statements = ["Ada carries lanterns.", "Ada hates marzipan."];
        let rare = RareWords {
            words: vec!["quince".into()],
        };
        let mut n_replaced = 0;
        for number in 0..50 {
            let prompt = paper_prompt("Ada", &statements, "Lanterns, or marzipan?");
            let mut turns = [(prompt, "I carry lanterns.".to_string())];
            rare.replace(&mut turns, "Ada", &mut example_rng(1, number));
            let (prompt, reply) = &turns[0];
            let said = reply.trim_start_matches("I carry ").trim_end_matches('.');
            assert!(prompt.contains(&format!("Ada carries {said}.")), "{prompt}");
            assert!(prompt.contains(&capitalized(said)), "{prompt}");
            assert!(prompt.contains("hates marzipan.") && prompt.contains("Reply as Ada"));
            n_replaced += usize::from(said != "lanterns");
        }
        assert!((5..40).contains(&n_replaced), "{n_replaced}");
    }
}
