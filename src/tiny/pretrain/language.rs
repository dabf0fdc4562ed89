//! From prompts and replies to what a language model learns.

use rand_chacha::ChaCha8Rng;

use super::exchange::WordTokens;
use super::slips::extend_with_slips;
use super::talk::Turn;
use crate::Result;
use crate::persona::encode_reply;
use crate::text::Tokenizer;
use crate::train::LanguageExample;

/// How prompts and replies become training examples.
#[derive(Clone, Debug)]
pub(super) struct LanguageEncoder {
    pub(super) tokenizer: Tokenizer,
    pub(super) words: WordTokens,
    /// Whether some copied tokens are exchanged and some replies have slips; neither is in examples that measure.
    pub(super) is_disturbed: bool,
}

impl LanguageEncoder {
    /// Brings prompts and replies into tokens: what the prompts share once, then the rest of each with its reply. Only the replies are
    /// learnt.
    pub(super) fn encode(&self, turns: &[Turn], rng: &mut ChaCha8Rng) -> Result<LanguageExample> {
        let tokenizer = &self.tokenizer;
        // Special tokens and bytes come first in the vocabulary.
        let first_word = tokenizer.token_id("<0xFF>").map_or(0, |id| id + 1);
        let others = first_word..tokenizer.vocab_size() as i32;
        let mut encoded = Vec::with_capacity(turns.len());
        let end_id = tokenizer.token_id("<eos>");
        for (prompt, reply) in turns {
            let reply = encode_reply(tokenizer, end_id, reply)?;
            encoded.push((tokenizer.encode(prompt)?, reply));
        }
        let shared = encoded
            .iter()
            .map(|(prompt, _)| {
                prompt
                    .iter()
                    .zip(&encoded[0].0)
                    .take_while(|(own, first)| own == first)
                    .count()
            })
            .min()
            .unwrap_or(0);
        if self.is_disturbed {
            let replies = encoded.iter().map(|(_, reply)| &reply[..]);
            let exchange = self.words.exchange(&encoded[0].0[..shared], replies, rng);
            for (prompt, reply) in &mut encoded {
                for id in prompt.iter_mut().chain(reply) {
                    *id = exchange.get(id).copied().unwrap_or(*id);
                }
            }
        }
        let mut example = LanguageExample::default();
        example.extend(1, &encoded[0].0[..shared], 0.0);
        for (turn_idx, (prompt, reply)) in encoded.iter().enumerate() {
            let segment = turn_idx as i32 + 2;
            example.extend(segment, &prompt[shared..], 0.0);
            match self.is_disturbed {
                true => extend_with_slips(&mut example, segment, reply, 1.0, &others, rng),
                false => example.extend(segment, reply, 1.0),
            }
        }
        Ok(example)
    }
}

#[cfg(test)]
mod tests {
    use super::super::recipe::example_rng;
    use super::super::talk::tests::small_talk;
    use super::super::vocabulary::train_tokenizer;
    use super::*;
    use crate::files::Checkpoint;

    #[test]
    fn replies_alone_are_learnt_behind_a_prompt_that_they_share() {
        let talk = small_talk();
        let turns = talk.example(&mut example_rng(1, 4));
        assert!(turns.len() > 1);
        let texts: Vec<String> = turns
            .iter()
            .map(|(prompt, reply)| prompt.clone() + reply)
            .collect();
        let folder = tempfile::tempdir().unwrap();
        train_tokenizer(&texts, 400, folder.path()).unwrap();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap();
        let encoder = LanguageEncoder {
            words: WordTokens::new(&tokenizer),
            tokenizer,
            is_disturbed: false,
        };
        let rng = &mut example_rng(1, 0);
        let example = encoder.encode(&turns, rng).unwrap();
        let learnt: Vec<i32> = example.targets().map(|(_, id, _)| id).collect();
        let (tokenizer, end_id) = (&encoder.tokenizer, encoder.tokenizer.token_id("<eos>"));
        let replies = turns
            .iter()
            .flat_map(|(_, reply)| encode_reply(tokenizer, end_id, reply).unwrap());
        assert_eq!(learnt, replies.collect::<Vec<i32>>());
        let apart = turns
            .iter()
            .map(|(prompt, _)| encoder.tokenizer.encode(prompt).unwrap().len());
        assert!(example.len() < apart.sum::<usize>());

        let disturbed = LanguageEncoder {
            is_disturbed: true,
            ..encoder
        };
        let mut others = (0..20).map(|number| {
            disturbed
                .encode(&turns, &mut example_rng(2, number))
                .unwrap()
        });
        assert!(others.any(|other| other != example));
    }
}
