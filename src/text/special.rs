//! Special tokens: around a text, spelled in one, and kept out of texts that somebody else wrote.

use std::collections::HashSet;
use std::sync::Arc;

use tokenizers::ModelWrapper;

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
        // A text may have the unknown token: it stands for every character that is not in the vocabulary.
        for id in self.unknown()? {
            forbidden.remove(&id);
        }
        Ok(Self {
            inner: Arc::new(inner),
            forbidden: Some(Arc::new(forbidden)),
            ..self.clone()
        })
    }

    /// The special tokens of the vocabulary, as a text spells them.
    pub(super) fn special_tokens(&self) -> Vec<String> {
        let added = self.inner.get_added_tokens_decoder();
        let special = added.into_values().filter(|token| token.special);
        special.map(|token| token.content).collect()
    }

    /// The special token that is put in front of every text, as a text spells it; nothing if there is none.
    pub(super) fn begins_with(&self) -> Result<String> {
        let first = self.encode("")?.first().map(|&id| id as u32);
        let token = first.and_then(|id| self.inner.id_to_token(id));
        Ok(token.unwrap_or_default())
    }

    /// The ids that a character gets which is not in the vocabulary.
    fn unknown(&self) -> Result<Vec<i32>> {
        let name = match self.inner.get_model() {
            ModelWrapper::WordPiece(model) => Some(&model.unk_token),
            ModelWrapper::WordLevel(model) => Some(&model.unk_token),
            ModelWrapper::BPE(model) => model.unk_token.as_ref(),
            // The library does not say which id it is; encoding a character that no vocabulary has shows it.
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
        // A text up to its first special token; that token's id, and the text behind it.
        let split = |text: &'a str| {
            let found = special
                .iter()
                .filter_map(|&(id, token)| Some((text.find(token)?, id, token.len())));
            // Of two that begin at the same place the longer one.
            match found.min_by_key(|&(at, _, len)| (at, std::cmp::Reverse(len))) {
                Some((at, id, len)) => (&text[..at], Some((id, &text[at + len..]))),
                None => (text, None),
            }
        };
        let (before, mut rest) = split(text);
        let mut parts = Vec::new();
        while let Some((id, behind)) = rest {
            let (part, next) = split(behind);
            parts.push((id, part));
            rest = next;
        }
        (before, parts)
    }

    /// Inserts a space into each special token that a text spells, until encoding it gives none.
    ///
    /// The library's own setting for this, `encode_special_tokens`, is not enough: a unigram model may have `[SEP]` among its
    /// ordinary pieces, and a normalizer may turn full-width letters into it.
    pub(super) fn without_special(&self, text: &str, forbidden: &HashSet<i32>) -> Result<String> {
        /// How often it is tried: a text with a space inserted may spell another special token.
        const TRIES: usize = 8;
        let mut text = text.to_string();
        for _ in 0..TRIES {
            let encoding = self.tried(|| self.inner.encode(text.as_str(), false))?;
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

    /// Puts the special tokens around the ids of one text, or around and between those of a pair.
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
        around.put(first, second).ok_or_else(|| {
            let reason = "cannot tell the two texts of a pair apart: it has neither [CLS] and [SEP] nor <s> and </s>";
            Error::invalid(&self.path, reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use crate::text::tokenizer::tests::uncased;
    use std::path::Path;

    fn tokenizer(folder: &str) -> Tokenizer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        Tokenizer::load(&Checkpoint::folder(folder)).unwrap()
    }

    #[test]
    fn a_text_that_spells_special_tokens_has_none_where_it_is_taken_literally() {
        for folder in ["tests/data/judges/nli", "tests/golden/spm"] {
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
}
