use apc::files::Checkpoint;
use apc::text::{ByteFallback, Tokenizer};
use serde::Deserialize;

use super::folder;

#[derive(Deserialize)]
struct Line {
    text: String,
    ids: Vec<i32>,
    bytes: Option<Vec<i32>>,
}

/// The lines whose ids transformers and SentencePiece have told; another file of such lines can be named.
fn lines() -> Vec<Line> {
    let own = folder("spm").join("lines.jsonl");
    let path = std::env::var_os("APC_TEST_SPM_LINES").map_or(own, Into::into);
    let text = std::fs::read_to_string(path).expect("the lines are there");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("every line is JSON")
}

#[test]
fn spm_model_gives_the_ids_of_the_fast_tokenizer_of_transformers() {
    let tokenizer = Tokenizer::load(&Checkpoint::folder(folder("spm"))).unwrap();
    for line in lines() {
        assert_eq!(
            tokenizer.encode(&line.text).unwrap(),
            line.ids,
            "{:?}",
            line.text
        );
    }
}

#[test]
fn with_byte_fallback_plain_lines_have_the_ids_of_sentencepiece() {
    let tokenizer =
        Tokenizer::load_with(&Checkpoint::folder(folder("spm")), ByteFallback::Bytes).unwrap();
    let mut compared = 0;
    for line in lines() {
        if let Some(bytes) = line.bytes {
            assert_eq!(
                tokenizer.encode(&line.text).unwrap(),
                bytes,
                "{:?}",
                line.text
            );
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn a_file_that_is_no_sentencepiece_model_is_named() {
    let there = tempfile::tempdir().unwrap();
    let error = Tokenizer::load(&Checkpoint::folder(there.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("neither tokenizer.json nor spm.model"),
        "{error}"
    );
    std::fs::write(there.path().join("spm.model"), "no model").unwrap();
    let error = Tokenizer::load(&Checkpoint::folder(there.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("spm.model: is no SentencePiece model"),
        "{error}"
    );
}
