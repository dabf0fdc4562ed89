//! Parts of words exchanged for any others, so that copying does not depend on which they are.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::text::Tokenizer;

/// The share of examples with exchanged tokens.
const EXAMPLES: f64 = 0.5;
/// The share of the copied tokens that are exchanged there.
const TOKENS: f64 = 0.3;

/// The tokens of a vocabulary that are words or parts of them: those with a space in front, and those without.
///
/// Many stand only within the words from which the vocabulary was learnt, and so in no text from the same source. Words
/// of other texts are made of them all the same, and a model that never copied a token will not copy it then.
#[derive(Clone, Debug)]
pub(super) struct WordTokens {
    classes: [Vec<i32>; 2],
}

impl WordTokens {
    pub(super) fn new(tokenizer: &Tokenizer) -> Self {
        let mut classes = [Vec::new(), Vec::new()];
        for id in 0..tokenizer.vocab_size() as i32 {
            let Some(token) = tokenizer.token(id) else {
                continue;
            };
            let letters = token.strip_prefix('▁').unwrap_or(&token);
            if !letters.is_empty() && letters.chars().all(char::is_alphabetic) {
                classes[usize::from(letters == token)].push(id);
            }
        }
        Self { classes }
    }

    /// Half the time, an exchange of some tokens that `replies` have copied from `shared` for others of the same class.
    pub(super) fn exchange<'a>(
        &self,
        shared: &[i32],
        replies: impl Iterator<Item = &'a [i32]>,
        rng: &mut ChaCha8Rng,
    ) -> BTreeMap<i32, i32> {
        let mut exchange = BTreeMap::new();
        if !rng.random_bool(EXAMPLES) {
            return exchange;
        }
        let shared: BTreeSet<i32> = shared.iter().copied().collect();
        let replied: BTreeSet<i32> = replies.flatten().copied().collect();
        for &id in shared.intersection(&replied) {
            let Some(class) = self.classes.iter().find(|class| class.contains(&id)) else {
                continue;
            };
            let other = class[rng.random_range(0..class.len())];
            if rng.random_bool(TOKENS)
                && !exchange.contains_key(&id)
                && !exchange.contains_key(&other)
            {
                exchange.insert(id, other);
                exchange.insert(other, id);
            }
        }
        exchange
    }
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::train_tokenizer;
    use super::*;
    use crate::files::Checkpoint;
    use rand::SeedableRng;

    #[test]
    fn what_replies_copy_is_exchanged_both_ways_for_tokens_of_the_same_class() {
        let folder = tempfile::tempdir().unwrap();
        let text = "Mira plays the cello near the old harbour. I play the cello near the old harbour, 1931.";
        train_tokenizer(&vec![text.to_string(); 4], 330, folder.path()).unwrap();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap();
        let words = WordTokens::new(&tokenizer);
        let [shared, reply] = ["Mira plays the cello, 1931.", "I play the cello, 1931."]
            .map(|text| tokenizer.encode_bare(text).unwrap());
        let copied = |id: &i32| shared.contains(id) && reply.contains(id);
        let spaced = |id: &i32| tokenizer.token(*id).unwrap().starts_with('▁');
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut with, mut reached) = (0, BTreeSet::new());
        for _ in 0..400 {
            let exchange = words.exchange(&shared, [&reply[..]].into_iter(), &mut rng);
            for (id, other) in &exchange {
                assert_eq!(exchange[other], *id);
                assert_eq!(spaced(id), spaced(other));
                assert!(copied(id) || copied(other));
            }
            with += usize::from(!exchange.is_empty());
            reached.extend(exchange.into_keys());
        }
        assert!((100..220).contains(&with), "{with}");
        for id in shared.iter().chain(&reached) {
            let token = tokenizer.token(*id).unwrap();
            let is_word = token.chars().all(|c| c == '▁' || c.is_alphabetic());
            assert!(is_word || !reached.contains(id), "{token}");
        }
        let spaced_words = &words.classes[0];
        assert!(spaced_words.len() > 5);
        assert!(spaced_words.iter().all(|id| reached.contains(id)));
    }
}
