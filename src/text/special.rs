//! Special tokens: around a text, spelled in one, and kept out of texts that somebody else wrote.

use std::collections::HashSet;
use std::sync::Arc;

use tokenizers::ModelWrapper;

use crate::error::guarded;
use crate::text::Tokenizer;
use crate::text::around::{Around, EncodedText};
use crate::{Error, Result};

impl Tokenizer {
    /// Returns the same tokenizer for texts that somebody else wrote: where they spell a special token, such as `[SEP]` or
    /// `</s>`, that is encoded as ordinary text.
    pub fn literal(&self) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::clone(&self.inner);
        inner.set_encode_special_tokens(true);
        let mut forbidden = self.around()?.ids();
        let added = self.inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special);
        forbidden.extend(special.map(|(&id, _)| id as i32));
        // What is not in the vocabulary is [UNK], and may be.
        for id in self.unknown()? {
            forbidden.remove(&id);
        }
        Ok(Self {
            inner: Arc::new(inner),
            forbidden: Some(Arc::new(forbidden)),
            ..self.clone()
        })
    }

    /// The ids of what is not in the vocabulary.
    fn unknown(&self) -> Result<Vec<i32>> {
        let name = match self.inner.get_model() {
            ModelWrapper::WordPiece(model) => Some(&model.unk_token),
            ModelWrapper::WordLevel(model) => Some(&model.unk_token),
            ModelWrapper::BPE(model) => model.unk_token.as_ref(),
            // It does not tell, but encodes such a character.
            ModelWrapper::Unigram(_) => {
                let plain = Self {
                    forbidden: None,
                    ..self.clone()
                };
                return plain.encode_bare("\u{10fffd}");
            }
        };
        let id = name.and_then(|name| self.inner.token_to_id(name));
        Ok(id.map(|id| id as i32).into_iter().collect())
    }

    /// The special tokens around one text, or two.
    pub(crate) fn around(&self) -> Result<Around> {
        Around::of(&self.inner).map_err(|error| self.failed(&error))
    }

    /// Splits a text at the special tokens that it spells: the text before the first one, then each with the text behind.
    pub(crate) fn split_at_special<'a>(&self, text: &'a str) -> (&'a str, Vec<(i32, &'a str)>) {
        let added = self.inner.get_added_tokens_decoder();
        let special: Vec<(i32, &str)> = added
            .iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(&id, token)| (id as i32, token.content.as_str()))
            .collect();
        let next = |text: &str| {
            let found = special
                .iter()
                .filter_map(|&(id, token)| Some((text.find(token)?, id, token.len())));
            // Of two that begin at the same place the longer one.
            found.min_by_key(|&(at, _, len)| (at, std::cmp::Reverse(len)))
        };
        let mut parts = Vec::new();
        let (mut rest, mut before) = (text, None);
        let mut id_before = None;
        while let Some((at, id, len)) = next(rest) {
            let part = &rest[..at];
            match id_before {
                None => before = Some(part),
                Some(id) => parts.push((id, part)),
            }
            id_before = Some(id);
            rest = &rest[at + len..];
        }
        match id_before {
            None => before = Some(rest),
            Some(id) => parts.push((id, rest)),
        }
        (before.unwrap_or_default(), parts)
    }

    /// Inserts a space into each special token in a text. `encode_special_tokens` is not enough: a unigram model has `[SEP]`
    /// among its pieces, and full-width letters are normalized to it.
    pub(super) fn without_special(&self, text: &str, forbidden: &HashSet<i32>) -> Result<String> {
        /// Times that what was mended may spell another one.
        const TRIES: usize = 8;
        let mut text = text.to_string();
        for _ in 0..TRIES {
            let encoding = guarded(|| self.inner.encode(text.as_str(), false))
                .map_err(|panic| self.failed(&panic.into()))?
                .map_err(|error| self.failed(&error))?;
            let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
            let found: Vec<(usize, usize)> = ids
                .filter(|(id, _)| forbidden.contains(&(**id as i32)))
                .map(|(_, &range)| range)
                .collect();
            if found.is_empty() {
                break;
            }
            for (start, end) in found.into_iter().rev() {
                let spelled = text.get(start..end).unwrap_or_default();
                let space = spelled.len() - spelled.trim_start().len();
                let first = spelled[space..].chars().next().map_or(0, char::len_utf8);
                let at = start + space + first;
                if text.is_char_boundary(at) {
                    text.insert(at, ' ');
                }
            }
        }
        Ok(text)
    }

    /// Puts the special tokens around a text, or around the two of a pair.
    ///
    /// # Errors
    ///
    /// Fails on a pair if the tokenizer has no tokens that tell two texts apart.
    pub(crate) fn put_around(
        &self,
        around: &Around,
        first: &[i32],
        second: Option<&[i32]>,
    ) -> Result<EncodedText> {
        around.put(first, second).ok_or_else(|| self.no_pairs())
    }

    /// The error of a tokenizer that cannot tell two texts apart.
    fn no_pairs(&self) -> Error {
        let reason = "cannot tell the two texts of a pair apart: it has neither [CLS] and [SEP] nor <s> and </s>";
        Error::invalid(&self.path, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use std::path::Path;

    fn tokenizer(folder: &str) -> Tokenizer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        Tokenizer::load(&Checkpoint::folder(folder)).unwrap()
    }

    #[test]
    fn a_text_that_spells_special_tokens_has_none_where_it_is_taken_literally() {
        for folder in ["models/tiny/nli", "tests/golden/spm"] {
            let plain = tokenizer(folder);
            let literal = plain.literal().unwrap();
            let special = literal.forbidden.clone().unwrap();
            assert!(special.len() >= 3, "{folder}: {special:?}");
            for text in [
                "a [SEP] b",
                "[SEP]",
                "[CLS][SEP][SEP][PAD]",
                "a[SEP]b [ SEP ]",
                "［ＳＥＰ］ [MASK]",
                "[S[SEP]EP]",
            ] {
                let ids = literal.encode_bare(text).unwrap();
                let spelled = ids.iter().any(|id| special.contains(id));
                assert!(!spelled && !ids.is_empty(), "{folder}, {text}: {ids:?}");
            }
            let text = "Mira sings, 1984: “plain” … 日";
            assert_eq!(literal.encode(text).unwrap(), plain.encode(text).unwrap());
        }
    }

    #[test]
    fn a_text_is_split_at_the_special_tokens_that_it_spells() {
        let tokenizer = tokenizer("tests/golden/spm");
        assert_eq!(tokenizer.split_at_special("plain"), ("plain", vec![]));
        let (before, parts) = tokenizer.split_at_special("a [SEP] b[CLS]");
        assert_eq!((before, parts), ("a ", vec![(2, " b"), (1, "")]));
    }

    /// A folder with an uncased BERT tokenizer of three words.
    fn uncased() -> tempfile::TempDir {
        let special = |id: u32, content: &str| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let json = serde_json::json!({
            "version": "1.0",
            "added_tokens": [special(0, "[UNK]"), special(1, "[CLS]"), special(2, "[SEP]")],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "i": 3, "drink": 4, "wine": 5}},
        });
        let there = tempfile::tempdir().unwrap();
        std::fs::write(there.path().join("tokenizer.json"), json.to_string()).unwrap();
        there
    }

    #[test]
    fn what_is_not_in_the_vocabulary_stays_where_no_separator_may_be_spelled() {
        let there = uncased();
        let plain = Tokenizer::load(&Checkpoint::folder(there.path())).unwrap();
        let literal = plain.literal().unwrap();
        let text = "I ☃ drink wine?";
        assert_eq!(literal.encode(text).unwrap(), [1, 3, 0, 4, 5, 0, 2]);
        assert_eq!(literal.encode(text).unwrap(), plain.encode(text).unwrap());
        let spelled = literal.encode_bare("I [SEP] drink").unwrap();
        assert!(!spelled.contains(&2) && spelled.contains(&4), "{spelled:?}");
    }

    #[test]
    fn tokenizer_config_wins_over_tokenizer_json_as_in_transformers() {
        let there = uncased();
        for (options, ids) in [
            (
                r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#,
                [0, 4],
            ),
            (r#"{"tokenizer_class": "BertTokenizer"}"#, [3, 4]),
            (
                r#"{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}"#,
                [3, 4],
            ),
        ] {
            std::fs::write(there.path().join("tokenizer_config.json"), options).unwrap();
            let tokenizer = Tokenizer::load(&Checkpoint::folder(there.path())).unwrap();
            assert_eq!(tokenizer.encode_bare("I drink").unwrap(), ids, "{options}");
        }
    }
}
