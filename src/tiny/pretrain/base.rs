//! A small BERT cut out of a pretrained one: some of its layers, and its words.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};

use super::recipe::{example_rng, normal};
use super::wordpieces::WordPieces;
use crate::files::{self, Checkpoint, ClassifierConfig};
use crate::nn::{RobertaKind, SequenceClassifierConfig, WeightMut, Weights};
use crate::{Error, Result};

/// The most tokens of a text: a statement, a question and a reply have fewer.
const POSITIONS: usize = 256;
/// Standard deviation of fresh weights.
const HEAD_STD: f64 = 0.02;

/// Cuts a small BERT with a fresh head out of a pretrained one, and writes it as a classifier's checkpoint.
///
/// The same files come out the same, byte by byte.
///
/// - from: a folder as Hugging Face has it: `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`
/// - layers_of: of so many layers in a row the first is kept
pub(super) fn make_base(
    from: &Path,
    layers_of: usize,
    seed: u64,
    folder: &Path,
    device: &Device,
) -> Result<()> {
    let checkpoint = Checkpoint::folder(from);
    let mut config = files::read_classifier_config(&checkpoint)?;
    let SequenceClassifierConfig::Roberta(bert) = &mut config.model else {
        return Err(no_bert(from));
    };
    if bert.kind != RobertaKind::Bert {
        return Err(no_bert(from));
    }
    let pieces = WordPieces::load(&from.join("tokenizer.json"))?;
    let kept = pieces.used();
    let layers: Vec<usize> = (0..bert.num_hidden_layers).step_by(layers_of).collect();
    bert.num_hidden_layers = layers.len();
    bert.max_position_embeddings = bert.max_position_embeddings.min(POSITIONS);
    bert.vocab_size = kept.len();

    let cut = Cut::open(from, layers, kept.iter().map(|(_, id)| *id).collect(), seed)?;
    let mut model = bert.init(device);
    cut.fill(&mut model, device)?;
    files::save_weights(&mut model, folder)?;
    pieces.save(&kept, &folder.join("tokenizer.json"))?;
    let options = "tokenizer_config.json";
    if checkpoint.has(options) {
        let mut options: serde_json::Value = files::read_json(&from.join(options))?;
        // Where somebody else's copy of the model lay is of no use.
        if let Some(options) = options.as_object_mut() {
            options.retain(|key, _| !["name_or_path", "special_tokens_map_file"].contains(&&**key));
        }
        files::write_json(&folder.join("tokenizer_config.json"), &options)?;
    }
    let pad_token_id = config.pad_token_id;
    let config = ClassifierConfig {
        pad_token_id: pieces.new_id(&kept, pad_token_id)?,
        ..config
    };
    // The config goes last: a folder that has it is whole.
    files::write_classifier_config(folder, &config)
}

fn no_bert(from: &Path) -> Error {
    let reason = "is no BERT; name a folder with a model such as all-MiniLM-L6-v2";
    Error::invalid(from, reason)
}

/// The tensors of the large model, and what becomes of them.
struct Cut {
    /// By their names without `bert.` in front.
    tensors: BTreeMap<String, TensorData>,
    /// Which layer each of the small model's is.
    layers: Vec<usize>,
    /// Which row each of the small model's words has.
    rows: Vec<usize>,
    seed: u64,
    path: std::path::PathBuf,
}

impl Cut {
    fn open(from: &Path, layers: Vec<usize>, rows: Vec<usize>, seed: u64) -> Result<Self> {
        // Some are published with "bert." in front of all names.
        let named = |(name, data): (String, TensorData)| match name.strip_prefix("bert.") {
            Some(rest) => (rest.to_string(), data),
            None => (name, data),
        };
        let tensors = files::read_floats(&Checkpoint::folder(from))?;
        let tensors = tensors.into_iter().map(named).collect();
        Ok(Self {
            tensors,
            layers,
            rows,
            seed,
            path: from.to_path_buf(),
        })
    }

    /// Fills the small model; all that is missing or misshapen is told at once.
    fn fill(&self, model: &mut impl Weights, device: &Device) -> Result<()> {
        let mut problems = Vec::new();
        let mut n_fresh = 0;
        model.weights("", &mut |name, mut weight: WeightMut<'_>| {
            let shape = weight.shape();
            let data = match self.data(name) {
                Some(Ok(data)) => data,
                Some(Err(problem)) => return problems.push(problem),
                None => {
                    n_fresh += 1;
                    fresh(&shape, HEAD_STD, self.seed, n_fresh)
                }
            };
            if data.shape().to_vec() == shape {
                weight.set_frozen(data, DType::F32, device);
            } else {
                problems.push(format!(
                    "{name} has shape {:?}, not {shape:?}",
                    data.shape()
                ));
            }
        });
        if problems.is_empty() {
            return Ok(());
        }
        let reason = format!("does not fit config.json: {}", problems.join("; "));
        Err(Error::invalid(&self.path, reason))
    }

    /// The values of a weight of the small model; none if it is to be fresh.
    fn data(&self, name: &str) -> Option<std::result::Result<TensorData, String>> {
        let old = self.old_name(name)?;
        let data = match self.tensors.get(&old) {
            // Some are published without the pooler, which a classifier learns anyway.
            None if old.starts_with("pooler.") => return None,
            None => return Some(Err(format!("{old} is missing"))),
            Some(data) => data,
        };
        Some(match &old[..] {
            "embeddings.word_embeddings.weight" => gathered(data, &self.rows),
            "embeddings.position_embeddings.weight" => {
                let n_positions = data.shape().dims::<2>()[0].min(POSITIONS);
                gathered(data, &(0..n_positions).collect::<Vec<_>>())
            }
            _ => Ok(data.clone()),
        })
    }

    /// What a weight of the small model is called in the large one; none if it is of the head.
    fn old_name(&self, name: &str) -> Option<String> {
        const LAYER: &str = "encoder.layer.";
        let name = name.strip_prefix("bert.")?;
        let Some((number, rest)) = name
            .strip_prefix(LAYER)
            .and_then(|rest| rest.split_once('.'))
        else {
            return Some(name.to_string());
        };
        let old = self.layers.get(number.parse::<usize>().ok()?)?;
        Some(format!("{LAYER}{old}.{rest}"))
    }
}

/// Some rows of a table.
fn gathered(table: &TensorData, rows: &[usize]) -> std::result::Result<TensorData, String> {
    let shape = table.shape().to_vec();
    let [n_rows, width] = shape[..] else {
        return Err(format!("a table has shape {shape:?}"));
    };
    let values = table
        .as_slice::<f32>()
        .map_err(|error| format!("{error:?}"))?;
    let mut kept = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        if row >= n_rows {
            return Err(format!("a table ends at {n_rows}, but row {row} is wanted"));
        }
        kept.extend_from_slice(&values[row * width..(row + 1) * width]);
    }
    Ok(TensorData::new(kept, [rows.len(), width]))
}

/// Puts a fresh classifier in place of the old one; it depends on the seed alone, whatever else draws random numbers.
pub(super) fn draw_head(model: &mut impl Weights, seed: u64, device: &Device) {
    let mut number = 0;
    model.weights("", &mut |name, mut weight| {
        if name.starts_with("classifier.") {
            number += 1;
            let values = fresh(&weight.shape(), HEAD_STD, seed, number);
            weight.set_frozen(values, DType::F32, device);
        }
    });
}

/// Random values for a matrix, zeros for a bias.
pub(super) fn fresh(shape: &[usize], std: f64, seed: u64, number: u64) -> TensorData {
    let mut rng = example_rng(seed, number);
    let n_values = shape.iter().product();
    let values = match shape.len() {
        1 => vec![0.0; n_values],
        _ => (0..n_values)
            .map(|_| normal(std, &mut rng) as f32)
            .collect(),
    };
    TensorData::new(values, shape.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::nn::{ClassifierInput, RobertaConfig, SequenceClassifier};
    use crate::text::Tokenizer;

    const WORDS: [&str; 28] = [
        "[PAD]",
        "[unused0]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        ".",
        "?",
        "a",
        "b",
        "##a",
        "##b",
        "中",
        "##中",
        "ä",
        "boat",
        "cello",
        "has",
        "what",
        "you",
        "##s",
        "in",
        "the",
        "harp",
        "drum",
        "flute",
        "oboe",
        "horn",
    ];

    /// A folder with a small BERT of three layers and random weights, as Hugging Face has it: without `bert.` in front.
    pub(in crate::tiny::pretrain) fn small_bert() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::flex();
        device.seed(11);
        let bert = RobertaConfig::new()
            .with_kind(RobertaKind::Bert)
            .with_vocab_size(WORDS.len())
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(3)
            .with_num_attention_heads(2)
            .with_max_position_embeddings(48)
            .with_type_vocab_size(2)
            .with_pad_token_id(0)
            .with_layer_norm_eps(1e-12)
            .with_initializer_range(0.5);
        let mut tensors = Vec::new();
        bert.init(&device).weights("", &mut |name, weight| {
            if let Some(name) = name.strip_prefix("bert.") {
                tensors.push(files::Entry::new(name, weight.to_data()));
            }
        });
        files::write_file(&folder.path().join("model.safetensors"), tensors).unwrap();
        let config = ClassifierConfig {
            model: SequenceClassifierConfig::Roberta(bert),
            labels: vec!["LABEL_0".into(), "LABEL_1".into()],
            pad_token_id: 0,
        };
        files::write_classifier_config(folder.path(), &config).unwrap();
        files::write_json(&folder.path().join("tokenizer.json"), &tokenizer()).unwrap();
        let options =
            json!({"tokenizer_class": "BertTokenizer", "do_lower_case": true, "name_or_path": "x"});
        files::write_json(&folder.path().join("tokenizer_config.json"), &options).unwrap();
        folder
    }

    fn tokenizer() -> Value {
        let vocabulary: serde_json::Map<String, Value> = (WORDS.iter().enumerate())
            .map(|(id, word)| (word.to_string(), json!(id)))
            .collect();
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(|token| {
            json!({"id": vocabulary[token], "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        });
        let named =
            |token: &str| json!({"id": token, "ids": [vocabulary[token]], "tokens": [token]});
        let token = |token: &str, kind| json!({"SpecialToken": {"id": token, "type_id": kind}});
        let text = |id: &str, kind| json!({"Sequence": {"id": id, "type_id": kind}});
        json!({
            "version": "1.0",
            "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": null,
            "added_tokens": special,
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)],
                "pair": [token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1), token("[SEP]", 1)],
                "special_tokens": {"[CLS]": named("[CLS]"), "[SEP]": named("[SEP]")},
            },
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary},
        })
    }

    /// A base of the small BERT, with one of so many layers in a row.
    fn base(from: &Path, layers_of: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        make_base(from, layers_of, 5, folder.path(), &Device::flex()).unwrap();
        folder
    }

    fn load(folder: &Path) -> (SequenceClassifier, Tokenizer) {
        let checkpoint = Checkpoint::folder(folder);
        let (model, config) =
            files::load_encoder(&checkpoint, files::Precision::default(), &Device::flex()).unwrap();
        let tokenizer = Tokenizer::load(&checkpoint).unwrap();
        assert_eq!(tokenizer.vocab_size(), config.model.vocab_size());
        (model, tokenizer)
    }

    #[test]
    fn all_words_stay_in_their_order_but_for_places_left_free() {
        let from = small_bert();
        let folder = base(from.path(), 2);
        let json: Value = files::read_json(&folder.path().join("tokenizer.json")).unwrap();
        let vocabulary = json["model"]["vocab"].as_object().unwrap();
        let words: Vec<&str> = vocabulary.keys().map(String::as_str).collect();
        let mut kept = WORDS.to_vec();
        kept.retain(|word| *word != "[unused0]");
        assert_eq!(words, kept);
        assert!(json["truncation"].is_null());
    }

    #[test]
    fn a_text_reads_the_same_as_in_the_large_model() {
        let from = small_bert();
        let whole = base(from.path(), 1);
        let hidden = |folder: &Path, text: &str| {
            let (model, tokenizer) = load(folder);
            let ids = tokenizer.encode(text).unwrap();
            let input = ClassifierInput::new(std::slice::from_ref(&ids), 0, &Device::flex());
            (ids, model.hidden_states(input).into_data())
        };
        // As many tokens as the large model's tokenizer lets through.
        let text = "boat harp";
        let [large, whole] = [from.path(), whole.path()].map(|folder| hidden(folder, text));
        assert!(large.0.len() == 4 && large.0 != whole.0, "{:?}", whole.0);
        large.1.assert_eq(&whole.1, true);
    }

    #[test]
    fn every_other_layer_and_the_rows_of_the_kept_words_come_from_the_large_model() {
        let from = small_bert();
        let folder = base(from.path(), 2);
        let read = |path: &Path| -> BTreeMap<String, Vec<f32>> {
            let found = files::read_floats(&Checkpoint::folder(path)).unwrap();
            let values = |data: TensorData| data.iter::<f32>().collect();
            found
                .into_iter()
                .map(|(name, data)| (name, values(data)))
                .collect()
        };
        let (large, small) = (read(from.path()), read(folder.path()));
        for (new, old) in [(0, 0), (1, 2)] {
            for part in [
                "attention.self.key.weight",
                "output.LayerNorm.bias",
                "intermediate.dense.bias",
            ] {
                let new = &small[&format!("bert.encoder.layer.{new}.{part}")];
                assert_eq!(
                    new,
                    &large[&format!("encoder.layer.{old}.{part}")],
                    "{part}"
                );
            }
        }
        assert!(!small.keys().any(|name| name.contains("layer.2.")));
        assert_eq!(
            small["bert.pooler.dense.weight"],
            large["pooler.dense.weight"]
        );
        let tokenizer = load(folder.path()).1;
        let name = "embeddings.word_embeddings.weight";
        let (old, new) = (&large[name], &small[&format!("bert.{name}")]);
        for (word, row) in [("[PAD]", 0), ("boat", 15), ("drum", 24)] {
            let place = tokenizer.token_id(word).unwrap() as usize;
            assert_eq!(new[place * 32..][..32], old[row * 32..][..32], "{word}");
        }
        assert_eq!(small["classifier.bias"], [0.0; 2]);
        assert!(small["classifier.weight"].iter().any(|value| *value != 0.0));
    }

    #[test]
    fn a_base_comes_out_the_same_again() {
        let from = small_bert();
        let [first, second] = [base(from.path(), 2), base(from.path(), 2)];
        let mut n_files = 0;
        for entry in fs::read_dir(first.path()).unwrap() {
            let name = entry.unwrap().file_name();
            let read = |folder: &Path| fs::read(folder.join(&name)).unwrap();
            assert_eq!(read(first.path()), read(second.path()), "{name:?}");
            n_files += 1;
        }
        assert_eq!(n_files, 4);
    }

    #[test]
    fn what_is_no_bert_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/nli");
        let error = make_base(&from, 2, 1, folder.path(), &Device::flex());
        assert!(error.unwrap_err().to_string().contains("is no BERT"));
        let from = small_bert();
        fs::write(
            from.path().join("tokenizer.json"),
            r#"{"model": {"type": "BPE"}}"#,
        )
        .unwrap();
        let error = make_base(from.path(), 2, 1, folder.path(), &Device::flex());
        assert!(error.unwrap_err().to_string().contains("no WordPiece"));
    }
}
