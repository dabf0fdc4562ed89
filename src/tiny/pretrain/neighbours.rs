//! Words of the same kind by a pretrained BERT's table of words: another instrument, another animal, another day.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::corpus::Corpus;
use super::denials::denies;
use super::embeddings::word_table;
use super::wordpieces::WordPieces;
use super::words::{replaced, words};
use crate::tiny::english::capitalized;
use crate::{Result, parallel};

/// Words with lower ids are too frequent: they say little, or change who is meant or whether something is denied.
const FIRST_ID: usize = 2100;
/// Cosines of words of the same kind. Nearer ones mean the same or are forms of one word, others have little to do with it.
const COSINES: std::ops::Range<f32> = 0.33..0.56;
/// Words that are kept for each.
const MOST: usize = 8;
/// Letters by which forms of one word are told.
const STEM: usize = 3;

/// For each word of a corpus' statements the words of its kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours(BTreeMap<String, Vec<String>>);

impl Neighbours {
    /// Finds them.
    ///
    /// - base: a folder with a BERT as Hugging Face has it
    pub(super) fn of(base: &Path, corpus: &Corpus) -> Result<Self> {
        let (table, width) = word_table(base)?;
        let pieces = WordPieces::load(&base.join("tokenizer.json"))?;
        let mut known: Vec<(&str, Vec<f32>)> = Vec::new();
        for (word, id) in pieces.whole_words() {
            let row = table.get(id * width..(id + 1) * width);
            if let Some(row) = row.filter(|_| id >= FIRST_ID && word.len() >= STEM) {
                known.push((word, row.to_vec()));
            }
        }
        centre_and_normalize(&mut known, width);
        let statements = corpus.statements();
        let said: BTreeSet<String> = statements.flat_map(words).map(str::to_lowercase).collect();
        let asked: Vec<&(&str, Vec<f32>)> = known
            .iter()
            .filter(|(word, _)| said.contains(*word))
            .collect();
        let found = parallel::map(asked, |(word, row)| {
            let near = known
                .iter()
                .filter(|(other, _)| other[..STEM] != word[..STEM]);
            let near = near.map(|(other, others)| (product(row, others), *other));
            let mut near: Vec<(f32, &str)> = near
                .filter(|(cosine, _)| COSINES.contains(cosine))
                .collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            near.truncate(MOST);
            let near = near.into_iter().map(|(_, other)| other.to_string());
            (word.to_string(), near.collect::<Vec<_>>())
        });
        Ok(Self(
            found
                .into_iter()
                .filter(|(_, near)| !near.is_empty())
                .collect(),
        ))
    }

    /// A reply that cannot be true if the statement is: with another word of the same kind in the place of one that it shares with the
    /// statement. None if there is no such word, or in denials, where both may be true: "does not drink milk". Of likes and
    /// dislikes both may be true, too; they are swapped all the same.
    pub(super) fn swap(
        &self,
        statement: &str,
        reply: &str,
        rng: &mut ChaCha8Rng,
    ) -> Option<String> {
        if denies(statement) || denies(reply) {
            return None;
        }
        let stated: BTreeSet<String> = words(statement).map(str::to_lowercase).collect();
        let near = |word: &str| -> Vec<&String> {
            let near = self.0.get(word).into_iter().flatten();
            near.filter(|other| !stated.contains(*other)).collect()
        };
        let shared: Vec<(&str, Vec<&String>)> = words(reply)
            .map(|word| (word, word.to_lowercase()))
            .filter(|(_, lower)| stated.contains(lower))
            .map(|(word, lower)| (word, near(&lower)))
            .filter(|(_, near)| !near.is_empty())
            .collect();
        if shared.is_empty() {
            return None;
        }
        let (word, near) = &shared[rng.random_range(0..shared.len())];
        let other = near[rng.random_range(0..near.len())];
        let is_capital = word.starts_with(char::is_uppercase);
        let other = match is_capital {
            true => capitalized(other),
            false => other.to_string(),
        };
        Some(replaced(reply, word, &other))
    }
}

fn centre_and_normalize(known: &mut [(&str, Vec<f32>)], width: usize) {
    let n_known = known.len().max(1) as f32;
    let mut centre = vec![0.0; width];
    for (_, row) in known.iter() {
        for (sum, value) in centre.iter_mut().zip(row) {
            *sum += value / n_known;
        }
    }
    for (_, row) in known {
        for (value, centre) in row.iter_mut().zip(&centre) {
            *value -= centre;
        }
        let length = product(row, row).sqrt().max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|value| *value /= length);
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::super::recipe::example_rng;
    use super::*;

    #[test]
    fn a_shared_word_is_swapped_for_another_of_its_kind() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let neighbours = Neighbours(BTreeMap::from([
            ("cello".to_string(), words(&["flute", "harp"])),
            ("tea".to_string(), words(&["coffee"])),
        ]));
        let mut rng = example_rng(1, 0);
        for _ in 0..20 {
            let swap = |reply, rng: &mut _| neighbours.swap("Ada plays the cello.", reply, rng);
            let swapped = swap("The cello, as a cellist.", &mut rng).unwrap();
            assert!(
                ["The flute, as a cellist.", "The harp, as a cellist."].contains(&&swapped[..])
            );
            assert_eq!(
                swap("Tea, please.", &mut rng),
                None,
                "the statement has no tea"
            );
        }
        for (statement, reply) in [
            ("Ada does not play the cello.", "I do not play the cello."),
            (
                "Ada plays the cello, the flute and the harp.",
                "The cello, mostly.",
            ),
        ] {
            let swapped = neighbours.swap(statement, reply, &mut rng);
            assert_eq!(swapped, None, "both may be true: {statement}");
        }
        let swapped = neighbours.swap("Ada drinks tea.", "Tea!", &mut rng);
        assert_eq!(swapped.as_deref(), Some("Coffee!"));
    }
}
