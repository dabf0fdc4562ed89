//! A tokenizer from `tokenizer.json`, or from `spm.model`.

use std::path::{Path, PathBuf};

use tokenizers::PreTokenizerWrapper;

use crate::files::{self, Checkpoint};
use crate::text::sentencepiece::{self, ByteFallback};
use crate::{Error, Result};

/// The tokenizer of a checkpoint: text to ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads a checkpoint's `tokenizer.json`, or if there is none its `spm.model`; with the latter, characters that are not
    /// in the vocabulary become `[UNK]` as in transformers' fast tokenizers.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Self::load_with(checkpoint, ByteFallback::Unknown)
    }

    /// Reads a checkpoint's tokenizer and chooses how `spm.model` encodes unknown characters.
    ///
    /// # Errors
    ///
    /// Fails on [`ByteFallback::Bytes`] if there is a `tokenizer.json`, which defines that itself.
    pub fn load_with(checkpoint: &Checkpoint, fallback: ByteFallback) -> Result<Self> {
        const OWN: &str = "tokenizer.json";
        const SENTENCEPIECE: &str = "spm.model";
        const OPTIONS: &str = "tokenizer_config.json";
        let path = checkpoint.path(OWN);
        if !checkpoint.has(OWN) {
            if !checkpoint.has(SENTENCEPIECE) {
                let reason = "has neither tokenizer.json nor spm.model";
                return Err(Error::invalid(checkpoint.name(), reason));
            }
            let path = checkpoint.path(SENTENCEPIECE);
            let options = if checkpoint.has(OPTIONS) {
                checkpoint.read_json(OPTIONS)?
            } else {
                sentencepiece::Options::default()
            };
            let bytes = checkpoint.read(SENTENCEPIECE)?;
            let inner = sentencepiece::load(&path, &bytes, options, fallback)?;
            return Ok(Self { path, inner });
        }
        if fallback == ByteFallback::Bytes {
            let reason = format!(
                "is for spm.model alone: {} says itself what becomes of unknown characters",
                path.display()
            );
            return Err(Error::setting("byte_fallback", reason));
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(checkpoint.read(OWN)?)
            .map_err(|error| Error::invalid(&path, format!("is no tokenizer: {error}")))?;
        // The file may keep the truncation and padding last used in Python; neither is wanted here.
        inner
            .with_padding(None)
            .with_truncation(None)
            .map_err(|error| Error::invalid(&path, format!("is no tokenizer: {error}")))?;
        Ok(Self { path, inner })
    }

    /// Writes `tokenizer.json` into a folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let json = self
            .inner
            .to_string(true)
            .map_err(|error| self.failed(&error))?;
        files::write(&folder.join("tokenizer.json"), json.as_bytes())
    }

    /// Encodes a text, with the tokenizer's own special tokens around it.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        self.encode_with(text, true)
    }

    /// Encodes a text without special tokens.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<i32>> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Vec<i32>> {
        let encoding = self
            .inner
            .encode_fast(text, special)
            .map_err(|error| self.failed(&error))?;
        Ok(encoding.get_ids().iter().map(|&id| id as i32).collect())
    }

    /// Encodes a text without special tokens; each id comes with its byte range in the text.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(i32, std::ops::Range<usize>)>> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| self.failed(&error))?;
        let ids = encoding.get_ids().iter().map(|&id| id as i32);
        Ok(ids
            .zip(
                encoding
                    .get_offsets()
                    .iter()
                    .map(|&(start, end)| start..end),
            )
            .collect())
    }

    /// Decodes ids to text, without special tokens.
    pub fn decode(&self, ids: &[i32]) -> Result<String> {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        self.inner
            .decode(&ids, true)
            .map_err(|error| self.failed(&error))
    }

    /// Returns the id of a token, if the vocabulary has it.
    pub fn token_id(&self, token: &str) -> Option<i32> {
        self.inner.token_to_id(token).map(|id| id as i32)
    }

    /// Returns the token with an id, if there is one.
    pub fn token(&self, id: i32) -> Option<String> {
        self.inner.id_to_token(u32::try_from(id).ok()?)
    }

    /// Whether texts are split into pieces first (pre-tokenization), so that no token spans two pieces.
    pub(super) fn has_words(&self) -> bool {
        match self.inner.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::Metaspace(metaspace)) => metaspace.get_split(),
            Some(_) => true,
            None => false,
        }
    }

    /// The size of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    fn failed(&self, error: &tokenizers::Error) -> Error {
        Error::invalid(&self.path, format!("cannot handle a text: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_neither_cut_nor_padded_whatever_the_file_says() {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/nli");
        let plain = Tokenizer::load(&Checkpoint::folder(from)).unwrap();
        let mut cutting = plain.clone();
        let cut = tokenizers::TruncationParams {
            max_length: 4,
            ..Default::default()
        };
        let pad = tokenizers::PaddingParams {
            strategy: tokenizers::PaddingStrategy::Fixed(64),
            ..Default::default()
        };
        cutting
            .inner
            .with_padding(Some(pad))
            .with_truncation(Some(cut))
            .unwrap();
        let there = tempfile::tempdir().unwrap();
        cutting.save(there.path()).unwrap();
        let text = "Mira plays the cello in the evening.";
        assert_eq!(
            Tokenizer::load(&Checkpoint::folder(there.path()))
                .unwrap()
                .encode(text)
                .unwrap(),
            plain.encode(text).unwrap()
        );
        assert_ne!(cutting.encode(text).unwrap(), plain.encode(text).unwrap());
    }
}
