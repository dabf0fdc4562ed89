//! Small vocabularies for models that are trained from scratch.

use std::path::Path;

use serde_json::json;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::replace::Replace;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, TokenizerBuilder};

use crate::{Error, Result, files};

/// The special tokens, in the order of their ids.
const SPECIAL: [&str; 6] = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
];

/// Words with the space before them, single digits, and single marks; merges never cross these.
const PIECES: &str = r"▁?\p{L}+|\p{N}|▁?[^\p{L}\p{N}▁]|▁+";

/// Learns a byte-fallback BPE vocabulary from texts and writes `tokenizer.json` and `tokenizer_config.json`.
///
/// Every text can be encoded and decoded back, since what the vocabulary lacks is spelt in bytes.
pub(super) fn train_tokenizer(texts: &[String], vocab_size: usize, folder: &Path) -> Result<()> {
    let failed = |error: tokenizers::Error| {
        Error::invalid(folder, format!("cannot learn a vocabulary: {error}"))
    };
    let added = |text: &&str| AddedToken::from(*text, true).normalized(false);
    let bytes = (0..=255u8)
        .map(|byte| AddedToken::from(format!("<0x{byte:02X}>"), false).normalized(false));

    let split = Split::new(
        SplitPattern::Regex(PIECES.into()),
        SplitDelimiterBehavior::Isolated,
        false,
    );
    let template = TemplateProcessing::builder()
        .try_single("<bos> $A")
        .and_then(|builder| builder.try_pair("<bos> $A <bos> $B:1"))
        .map(|builder| builder.special_tokens(vec![("<bos>", 2)]).build());
    let template = template
        .map_err(|error| failed(error.into()))?
        .map_err(|error| failed(error.into()))?;
    let model = BPE::builder()
        .byte_fallback(true)
        .fuse_unk(true)
        .unk_token("<unk>".to_string())
        .build()
        .map_err(failed)?;
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(Some(Replace::new(" ", "▁").map_err(failed)?))
        .with_pre_tokenizer(Some(split.map_err(failed)?))
        .with_post_processor(Some(template))
        .with_decoder(Some(Sequence::new(vec![
            DecoderWrapper::Replace(Replace::new("▁", " ").map_err(failed)?),
            DecoderWrapper::ByteFallback(ByteFallback::new()),
            DecoderWrapper::Fuse(Fuse::new()),
        ])))
        .build()
        .map_err(failed)?;
    // The byte tokens go into the vocabulary as plain entries, so that text that looks like one is not taken for it.
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(SPECIAL.iter().map(added).chain(bytes).collect())
        .build();
    tokenizer
        .train(&mut trainer, texts.iter())
        .map_err(failed)?;

    let text = tokenizer.to_string(true).map_err(failed)?;
    let mut json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::invalid(folder, error.to_string()))?;
    if let Some(tokens) = json
        .get_mut("added_tokens")
        .and_then(serde_json::Value::as_array_mut)
    {
        tokens.retain(|token| SPECIAL.iter().any(|name| token["content"] == *name));
    }
    files::write(&folder.join("tokenizer.json"), json.to_string().as_bytes())?;
    let names = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
        "padding_side": "left", "clean_up_tokenization_spaces": false,
    });
    files::write_json(&folder.join("tokenizer_config.json"), &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use crate::text::Tokenizer;

    #[test]
    fn any_text_comes_back_from_a_small_vocabulary() {
        let folder = tempfile::tempdir().unwrap();
        let texts = vec!["Mira plays the cello. Mira was born in 1931.".to_string(); 4];
        train_tokenizer(&texts, 320, folder.path()).unwrap();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap();
        for text in [
            "Mira plays the cello.",
            "Zażółć gęślą jaźń 🎸",
            "tabs\tand\nlines  twice",
            "a <0x41> ▁ b",
        ] {
            let ids = tokenizer.encode_bare(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace('▁', " "));
        }
        assert_eq!(tokenizer.encode("Mira").unwrap()[0], 2);
        assert_eq!(tokenizer.encode_bare("<start_of_turn>").unwrap(), [4]);
    }

    #[test]
    fn offsets_point_back_into_the_text() {
        let folder = tempfile::tempdir().unwrap();
        train_tokenizer(&["a cello".to_string()], 300, folder.path()).unwrap();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap();
        let text = "a cello";
        let pieces: String = tokenizer
            .encode_with_offsets(text)
            .unwrap()
            .into_iter()
            .map(|(_, range)| &text[range])
            .collect();
        assert_eq!(pieces, text);
    }
}
