//! Builds a DeBERTa tokenizer from SentencePiece's `spm.model`, as transformers does.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/deberta_v2/tokenization_deberta_v2.py>,
//! `DebertaV2Tokenizer`: runs of white space become one space, texts are normalized to NFC, and a unigram model splits them.
//! SentencePiece itself normalizes by NFKC and turns characters that it does not know into their bytes; the fast
//! tokenizers, with which the published classifiers were trained, turn them into `[UNK]`. [`ByteFallback`] chooses.

use std::path::Path;

use prost::Message;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NFC, Replace, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

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

/// Model types and kinds of pieces by SentencePiece's numbers.
const UNIGRAM: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The special tokens of a DeBERTa.
const SPECIAL: [&str; 5] = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"];

/// Builds the tokenizer that the bytes of an `spm.model` describe; `path` names the file in errors.
pub(super) fn load(path: &Path, bytes: &[u8], fallback: ByteFallback) -> Result<Tokenizer> {
    let model = ModelProto::decode(bytes)
        .map_err(|error| Error::invalid(path, format!("is no SentencePiece model: {error}")))?;
    build(model, fallback).map_err(|error| Error::invalid(path, error.to_string()))
}

fn build(model: ModelProto, fallback: ByteFallback) -> tokenizers::Result<Tokenizer> {
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
    let white_space =
        tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s{2,}|[\n\r\t]".to_string());
    let normalizers: Vec<NormalizerWrapper> = vec![
        Replace::new(white_space, " ")?.into(),
        NFC.into(),
        Strip::new(false, true).into(),
    ];
    tokenizer.with_normalizer(Some(tokenizers::normalizers::Sequence::new(normalizers)))?;
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(metaspace.clone())));
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
