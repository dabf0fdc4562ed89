//! A tokenizer from `tokenizer.json`, or from `spm.model`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

use crate::error::guarded;
use crate::files::{self, Checkpoint};
use crate::text::sentencepiece::{self, ByteFallback};
use crate::{Error, Result};

/// The tokenizer of a checkpoint: text to ids and back. Clones share the vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(super) path: PathBuf,
    pub(super) inner: Arc<tokenizers::Tokenizer>,
    /// The special tokens that no text may spell; none where texts may.
    pub(super) forbidden: Option<Arc<HashSet<i32>>>,
    /// How many ids the model has a row for.
    pub(super) rows: Option<usize>,
}

/// How many times as long a normalizer may make a text.
const MOST_GROWTH: usize = 64;
/// How many bytes more than that it may have, for short texts.
const SPARE_BYTES: usize = 1 << 16;

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
                let reason = "has neither tokenizer.json nor spm.model; AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) in Python \
                              writes the first";
                return Err(Error::invalid(checkpoint.name(), reason));
            }
            let path = checkpoint.path(SENTENCEPIECE);
            let options = checkpoint.read_json_if_any(OPTIONS)?.unwrap_or_default();
            let bytes = checkpoint.read(SENTENCEPIECE)?;
            let inner = guarded(|| sentencepiece::load(&path, &bytes, options, fallback))
                .map_err(|panic| Error::invalid(&path, format!("is no tokenizer: {panic}")))??;
            return Self::checked(path, inner);
        }
        if fallback == ByteFallback::Bytes {
            let reason = format!(
                "is for spm.model alone: {} says itself what becomes of unknown characters",
                path.display()
            );
            return Err(Error::setting("byte_fallback", reason));
        }
        let bytes = checkpoint.read(OWN)?;
        // The reader panics on some texts that are no JSON.
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(|_| Error::invalid(&path, "is no tokenizer: its JSON is damaged"))?
            .map_err(|error| Error::invalid(&path, format!("is no tokenizer: {error}")))?;
        let refused =
            |error: tokenizers::Error| Error::invalid(&path, format!("is no tokenizer: {error}"));
        if let Some(options) = checkpoint.read_json_if_any(OPTIONS)? {
            follow(&mut inner, &options).map_err(refused)?;
        }
        // The file may keep the truncation and padding last used in Python; neither is wanted here.
        inner
            .with_padding(None)
            .with_truncation(None)
            .map_err(refused)?;
        Self::checked(path, inner)
    }

    /// A tokenizer that can handle a text: a special token that its post-processor names may be missing.
    fn checked(path: PathBuf, inner: tokenizers::Tokenizer) -> Result<Self> {
        let tokenizer = Self {
            path,
            inner: Arc::new(inner),
            forbidden: None,
            rows: None,
        };
        tokenizer.encode("")?;
        Ok(tokenizer)
    }

    /// The same for a model with `rows` rows in its table of embeddings: a text with a token that has none is refused.
    ///
    /// A vocabulary may be longer than the table where its last tokens are never used.
    ///
    /// # Errors
    ///
    /// Fails if every text would be refused, because the special tokens around it have no row.
    pub fn for_table(mut self, rows: usize) -> Result<Self> {
        self.rows = Some(rows);
        let special: Vec<u32> = self.around()?.ids().iter().map(|&id| id as u32).collect();
        self.ids(&special)?;
        self.encode("")?;
        Ok(self)
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
        if self.forbidden.is_none() {
            return self.encode_with(text, true);
        }
        let ids = self.encode_bare(text)?;
        Ok(self.put_around(&self.around()?, &ids, None)?.ids)
    }

    /// Encodes a text without special tokens.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<i32>> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Vec<i32>> {
        let encode = |text: &str| {
            self.check_growth(text)?;
            let encoding = self.tried(|| self.inner.encode_fast(text, special))?;
            self.ids(encoding.get_ids())
        };
        let ids = encode(text)?;
        match &self.forbidden {
            Some(forbidden) if ids.iter().any(|id| forbidden.contains(id)) => {
                let mut ids = encode(&self.without_special(text, forbidden)?)?;
                ids.retain(|id| !forbidden.contains(id));
                Ok(ids)
            }
            _ => Ok(ids),
        }
    }

    /// The ids, each of which must have a row in the model's table.
    fn ids(&self, ids: &[u32]) -> Result<Vec<i32>> {
        let rows = self.rows.unwrap_or(i32::MAX as usize);
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= rows) {
            let token = self.inner.id_to_token(id).unwrap_or_default();
            let reason = format!(
                "a text has the token {token:?} with id {id}, but the model's table ends at {rows} (\"vocab_size\" of \
                 config.json); leave the token out of the text, or take the tokenizer that belongs to the model"
            );
            return Err(Error::invalid(&self.path, reason));
        }
        Ok(ids.iter().map(|&id| id as i32).collect())
    }

    /// Refuses a text that the normalizer makes much longer: a file may have one that multiplies every character.
    fn check_growth(&self, text: &str) -> Result<()> {
        let Some(normalizer) = self.inner.get_normalizer() else {
            return Ok(());
        };
        let most = text
            .len()
            .saturating_mul(MOST_GROWTH)
            .saturating_add(SPARE_BYTES);
        if grown(normalizer, text.len()) <= most {
            return Ok(());
        }
        let reason = format!(
            "its normalizer may make a text of {} bytes longer than {most}",
            text.len()
        );
        Err(Error::invalid(&self.path, reason))
    }

    /// Encodes a text without special tokens around it; each id comes with the range of the text's bytes that it stands for.
    ///
    /// Special tokens that the text spells may be among them, even if the tokenizer is [`literal`](Self::literal).
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(i32, std::ops::Range<usize>)>> {
        self.check_growth(text)?;
        let encoding = self.tried(|| self.inner.encode(text, false))?;
        let ids = self.ids(encoding.get_ids())?;
        let offsets = encoding.get_offsets().iter();
        let ranges = offsets.map(|&(start, end)| start..end);
        Ok(ids.into_iter().zip(ranges).collect())
    }

    /// Decodes ids to text, without special tokens.
    pub fn decode(&self, ids: &[i32]) -> Result<String> {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        self.tried(|| self.inner.decode(&ids, true))
    }

    /// Decodes a reply. If it was cut in the middle of its last character, that character is left out.
    pub fn decode_reply(&self, ids: &[i32]) -> Result<String> {
        let whole = ids.len() - self.cut_bytes(ids);
        let mut text = self.decode(&ids[..whole])?;
        // Tokens of bytes that are not spelt as such decode to marks where a character is not whole.
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        Ok(text)
    }

    /// How many tokens at the end spell the first bytes of a character that needs more.
    fn cut_bytes(&self, ids: &[i32]) -> usize {
        let run = self.byte_run(ids);
        let bytes: Vec<u8> = ids[ids.len() - run..]
            .iter()
            .filter_map(|&id| self.byte(id))
            .collect();
        match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
            _ => 0,
        }
    }

    /// How many tokens at the end are single bytes.
    pub(super) fn byte_run(&self, ids: &[i32]) -> usize {
        ids.iter()
            .rev()
            .take_while(|&&id| self.byte(id).is_some())
            .count()
    }

    /// The byte that a token of byte fallback, `<0x41>`, stands for.
    fn byte(&self, id: i32) -> Option<u8> {
        let token = self.token(id)?;
        let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
        (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
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

    /// Calls the library for a text; its error or panic becomes an error that names the file.
    pub(super) fn tried<T>(&self, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        guarded(work)
            .unwrap_or_else(|panic| Err(panic.into()))
            .map_err(|error| self.failed(&error))
    }

    pub(super) fn failed(&self, error: &tokenizers::Error) -> Error {
        Error::invalid(&self.path, format!("cannot handle a text: {error}"))
    }
}

/// The most bytes that a text of `len` bytes may have after a normalizer's replacements and prefixes. What Unicode
/// normalization adds is not counted: however often it is repeated, it adds that once.
fn grown(normalizer: &NormalizerWrapper, len: usize) -> usize {
    /// As long as the marks that public tokenizers put in place of a space.
    const MARK: usize = 4;
    match normalizer {
        NormalizerWrapper::Sequence(sequence) => {
            let steps = sequence.as_ref().iter();
            steps.fold(len, |len, step| grown(step, len))
        }
        // An empty pattern matches beside every character.
        NormalizerWrapper::Replace(replace) => {
            let each = replace.content.len().saturating_sub(MARK);
            len.saturating_add(len.saturating_add(1).saturating_mul(each))
        }
        NormalizerWrapper::Prepend(prepend) => len.saturating_add(prepend.prepend.len()),
        _ => len,
    }
}

/// What `tokenizer_config.json` says of how words are normalized, which transformers puts over what `tokenizer.json` says.
#[derive(Deserialize)]
struct Options {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    add_prefix_space: Option<bool>,
}

/// Sets what a tokenizer's options say; the class that is any tokenizer's has none.
fn follow(inner: &mut tokenizers::Tokenizer, options: &Options) -> tokenizers::Result<()> {
    if options.tokenizer_class.as_deref() == Some("PreTrainedTokenizerFast") {
        return Ok(());
    }
    if let Some(NormalizerWrapper::BertNormalizer(normalizer)) = inner.get_normalizer() {
        let mut normalizer = *normalizer;
        normalizer.lowercase = options.do_lower_case.unwrap_or(normalizer.lowercase);
        normalizer.strip_accents = options.strip_accents.or(normalizer.strip_accents);
        normalizer.handle_chinese_chars = options
            .tokenize_chinese_chars
            .unwrap_or(normalizer.handle_chinese_chars);
        inner.with_normalizer(Some(normalizer))?;
    }
    if let (Some(PreTokenizerWrapper::ByteLevel(bytes)), Some(space)) =
        (inner.get_pre_tokenizer(), options.add_prefix_space)
    {
        let mut bytes = *bytes;
        bytes.add_prefix_space = space;
        inner.with_pre_tokenizer(Some(bytes));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder with an uncased BERT tokenizer of three words.
    pub(in crate::text) fn uncased() -> tempfile::TempDir {
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
    fn a_text_is_neither_cut_nor_padded_whatever_the_file_says() {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/nli");
        let plain = Tokenizer::load(&Checkpoint::folder(from)).unwrap();
        let mut cutting = plain.clone();
        let inner = Arc::make_mut(&mut cutting.inner);
        let cut = tokenizers::TruncationParams {
            max_length: 4,
            ..Default::default()
        };
        let pad = tokenizers::PaddingParams {
            strategy: tokenizers::PaddingStrategy::Fixed(64),
            ..Default::default()
        };
        inner
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
