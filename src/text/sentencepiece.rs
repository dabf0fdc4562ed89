//! Builds a DeBERTa tokenizer from SentencePiece's `spm.model`, as transformers 4 does.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/convert_slow_tokenizer.py>,
//! `DebertaV2Converter`: a text is stripped, the rules inside the file normalize it (in DeBERTa-v3's an ellipsis becomes
//! three points, full-width letters become plain ones), runs of spaces become one, and a unigram model splits it.
//! SentencePiece itself gives the same tokens but for characters that it does not know: it turns them into their bytes, the
//! fast tokenizers, with which the published classifiers were trained, into `[UNK]`. [`ByteFallback`] chooses.
//! transformers 5 passes over the rules inside the file, so that an ellipsis is `[UNK]` there.

use std::path::Path;

use prost::Message;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, Precompiled, Replace, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
};

use crate::{Error, Result};

/// How a character that is not in the vocabulary is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteFallback {
    /// As one `[UNK]`, as in transformers' fast tokenizers.
    #[default]
    Unknown,
    /// As one token per byte, as in SentencePiece, if the vocabulary has them; a text that spells such a token, `<0x41>`,
    /// is encoded as that token.
    Bytes,
}

/// The parts of SentencePiece's model file that define the tokenizer.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, tag = "1")]
    piece: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
}

/// What `tokenizer_config.json` says beside the model file.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub(super) struct Options {
    /// Whether texts are made lower case first.
    #[serde(default)]
    do_lower_case: bool,
    /// Whether each punctuation mark is a word of its own.
    #[serde(default)]
    split_by_punct: bool,
}

/// Model types and kinds of pieces by SentencePiece's numbers.
const UNIGRAM: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The special tokens of a DeBERTa.
const SPECIAL: [&str; 5] = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"];

/// Builds the tokenizer that the bytes of an `spm.model` describe; `path` names the file in errors.
pub(super) fn load(
    path: &Path,
    bytes: &[u8],
    options: Options,
    fallback: ByteFallback,
) -> Result<Tokenizer> {
    let model = ModelProto::decode(bytes)
        .map_err(|error| Error::invalid(path, format!("is no SentencePiece model: {error}")))?;
    build(model, options, fallback).map_err(|error| Error::invalid(path, error.to_string()))
}

fn build(
    model: ModelProto,
    options: Options,
    fallback: ByteFallback,
) -> tokenizers::Result<Tokenizer> {
    let spec = model.trainer_spec.unwrap_or_default();
    let kind = spec.model_type.unwrap_or(UNIGRAM);
    if kind != UNIGRAM {
        return Err(format!(
            "is a SentencePiece model of type {kind}, but a unigram model is needed"
        )
        .into());
    }
    let added: Vec<AddedToken> = model
        .pieces
        .iter()
        .filter(|piece| matches!(piece.kind, Some(CONTROL | USER_DEFINED)))
        .map(|piece| AddedToken::from(&*piece.piece, piece.kind == Some(CONTROL)).normalized(false))
        .collect();
    let vocabulary = model
        .pieces
        .into_iter()
        .map(|piece| (piece.piece, f64::from(piece.score)))
        .collect();
    let unk_id = usize::try_from(spec.unk_id.unwrap_or(0))?;
    let unigram = Unigram::from(vocabulary, Some(unk_id), fallback == ByteFallback::Bytes)?;

    let mut tokenizer = Tokenizer::new(unigram);
    let spec = model.normalizer_spec.unwrap_or_default();
    let normalizers = normalizers(spec, options, fallback)?;
    tokenizer.with_normalizer(Some(tokenizers::normalizers::Sequence::new(normalizers)))?;
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    let mut pre_tokenizers: Vec<PreTokenizerWrapper> = vec![metaspace.clone().into()];
    if options.split_by_punct {
        let punctuation = Punctuation::new(SplitDelimiterBehavior::Isolated);
        pre_tokenizers.insert(0, punctuation.into());
    }
    let pre_tokenizers = tokenizers::pre_tokenizers::sequence::Sequence::new(pre_tokenizers);
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(pre_tokenizers)));
    tokenizer.with_decoder(Some(metaspace));
    let special = SPECIAL.map(|token| AddedToken::from(token, true).normalized(false));
    tokenizer.add_special_tokens(special)?;
    tokenizer.add_tokens(added)?;
    let id = |token: &str| {
        tokenizer
            .token_to_id(token)
            .map(|id| (token.to_string(), id))
            .ok_or_else(|| format!("has no token {token}"))
    };
    let ends = vec![id("[CLS]")?, id("[SEP]")?];
    let template = TemplateProcessing::builder()
        .try_single("[CLS]:0 $A:0 [SEP]:0")?
        .try_pair("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")?
        .special_tokens(ends)
        .build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

/// The steps that a text goes through before it is split.
fn normalizers(
    spec: NormalizerSpec,
    options: Options,
    fallback: ByteFallback,
) -> tokenizers::Result<Vec<NormalizerWrapper>> {
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if options.do_lower_case {
        steps.push(Lowercase.into());
    }
    steps.push(Strip::new(true, true).into());
    let rules = spec.precompiled_charsmap.unwrap_or_default();
    if !rules.is_empty() {
        check_rules(&rules).ok_or("has rules of normalization that cannot be read")?;
        steps.push(Precompiled::from(&rules)?.into());
    }
    steps.push(Replace::new(ReplacePattern::Regex(" {2,}".into()), " ")?.into());
    if fallback == ByteFallback::Bytes {
        // SentencePiece also strips what the rules have turned into spaces.
        steps.push(Strip::new(true, true).into());
    }
    Ok(steps)
}

/// Walks all rules of a charsmap, which is a trie of UTF-8 bytes as a double array and the texts that its leaves point to:
/// what uses it does not look whether it points outside.
fn check_rules(rules: &[u8]) -> Option<()> {
    let (size, rest) = rules.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    let (trie, texts) = rest.split_at_checked(size)?;
    let texts = std::str::from_utf8(texts).ok()?;
    let (units, cut) = trie.as_chunks::<4>();
    let units: Vec<usize> = units
        .iter()
        .map(|unit| u32::from_le_bytes(*unit) as usize)
        .collect();
    let offset = |unit: usize| (unit >> 10) << ((unit & (1 << 9)) >> 6);
    let mut seen = vec![false; units.len()];
    let mut nodes = vec![offset(*units.first()?)];
    while let Some(node) = nodes.pop() {
        if std::mem::replace(seen.get_mut(node)?, true) {
            continue;
        }
        for byte in 1..=255 {
            let unit = *units.get(node ^ byte)?;
            if unit & (1 << 31 | 0xff) != byte {
                continue;
            }
            let child = node ^ byte ^ offset(unit);
            if unit >> 8 & 1 == 1 {
                let text = units.get(child)? & ((1 << 31) - 1);
                texts.get(text..)?;
            }
            nodes.push(child);
        }
    }
    cut.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_point_outside_are_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spm/spm.model");
        let model = ModelProto::decode(&*std::fs::read(path).unwrap()).unwrap();
        let rules = model.normalizer_spec.unwrap().precompiled_charsmap.unwrap();
        check_rules(&rules).unwrap();
        let size = u32::from_le_bytes(rules[..4].try_into().unwrap()) as usize;
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut rules = rules.clone();
            change(&mut rules);
            check_rules(&rules)
        };
        assert_eq!(changed(&|rules| rules[..4].fill(0xff)), None, "too long");
        assert_eq!(changed(&|rules| rules.truncate(4 + size)), None, "no text");
        assert_eq!(changed(&|rules| rules.truncate(3)), None, "no trie");
        let root = |rules: &mut Vec<u8>| rules[4..8].copy_from_slice(&(1u32 << 30).to_le_bytes());
        assert_eq!(changed(&root), None, "an offset beyond the trie");
    }
}
