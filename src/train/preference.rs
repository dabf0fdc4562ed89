//! Preference pairs as TRL takes them.

use serde::{Deserialize, Serialize};

use super::{DpoExample, DpoPair};
use crate::Result;
use crate::text::Tokenizer;

/// A prompt with a better and a worse reply, in TRL's standard format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preference {
    /// What comes first, with all marks of turns that it needs.
    pub prompt: String,
    /// The better reply.
    pub chosen: String,
    /// The worse reply.
    pub rejected: String,
}

impl Preference {
    /// Brings the pair into tokens as `DPOTrainer` does.
    ///
    /// Prompt and reply are one text for the tokenizer, with its special tokens, and `eos` behind the reply unless the
    /// reply ends with it already; the prompt is what both texts and the prompt alone have in common at the front. Behind
    /// `max_length` tokens, prompt included, replies are cut. A prompt without a token, or one that leaves none for a reply,
    /// gives nothing.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        eos: &str,
        max_length: usize,
    ) -> Result<Option<DpoExample>> {
        let encode_reply = |reply: &str| {
            let end = if reply.ends_with(eos) { "" } else { eos };
            tokenizer.encode(&format!("{}{reply}{end}", self.prompt))
        };
        let mut prompt = tokenizer.encode(&self.prompt)?;
        let replies = [encode_reply(&self.chosen)?, encode_reply(&self.rejected)?];
        let common = |ids: &Vec<i32>| {
            let pairs = prompt.iter().zip(ids);
            pairs.take_while(|(a, b)| a == b).count()
        };
        let start = common(&replies[0]).min(common(&replies[1]));
        prompt.truncate(start);
        if start == 0 || start >= max_length {
            return Ok(None);
        }
        let [chosen, rejected] = replies.map(|mut ids| {
            ids.truncate(max_length);
            ids.split_off(start)
        });
        Ok(Some(DpoExample {
            prompt,
            pairs: vec![DpoPair {
                chosen,
                rejected,
                reference: [0.0; 2],
            }],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn replies_end_with_one_eos_are_cut_at_the_length_and_share_what_the_prompt_begins_with() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma");
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let pair = Preference {
            prompt: "<start_of_turn>model\n".into(),
            chosen: "I play the cello.".into(),
            rejected: "I sing.<eos>".into(),
        };
        let eos = tokenizer.token_id("<eos>").unwrap();
        let encoded = |max_length| pair.encode(&tokenizer, "<eos>", max_length).unwrap();
        let example = encoded(512).unwrap();
        assert_eq!(
            example.prompt,
            tokenizer.encode(&pair.prompt).unwrap(),
            "the prompt ends where a token ends"
        );
        for reply in [&example.pairs[0].chosen, &example.pairs[0].rejected] {
            assert_eq!(reply.iter().filter(|&&id| id == eos).count(), 1);
            assert_eq!(reply.last(), Some(&eos));
        }
        let n = example.prompt.len();
        let cut = encoded(n + 2).unwrap();
        assert_eq!(cut.pairs[0].chosen, example.pairs[0].chosen[..2]);
        assert_eq!(cut.prompt, example.prompt);
        assert!(encoded(n).is_none());
    }
}
