//! Writes checkpoints as they travel inside the program, in few bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::files::{self, Bits, Entry};
use crate::nn::{Gemma, GemmaConfig, Weights};
use crate::progress::Job;
use crate::{Error, Result};

/// Whether a judge is there from an earlier run, which is then told.
pub(super) fn is_there(folder: &Path, job: &Job) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let is_there = has("config.json") && has("judge.json");
    if is_there {
        job.progress
            .note(&format!("{} is there already", folder.display()));
    }
    is_there
}

/// Writes a Gemma in 8 bits a weight.
pub(super) fn save_gemma(gemma: &mut Gemma, config: &GemmaConfig, folder: &Path) -> Result<()> {
    let quantization = files::save_compressed(gemma, Bits::Eight, folder)?;
    files::write_gemma_config(folder, config)?;
    tell_bits(folder, quantization)
}

/// Whether a weight is the table of word embeddings, which all judges share.
fn is_of_words(name: &str) -> bool {
    name.contains("word_embeddings.weight")
}

/// Rounds the table of word embeddings to the bits that it is stored in, and makes all other weights trainable.
pub(super) fn round_words(model: &mut impl Weights) {
    model.unfreeze_weights();
    files::round_weights(model, Bits::Four, is_of_words);
    model.weights("", &mut |name, mut weight| {
        if is_of_words(name) {
            weight.freeze();
        }
    });
}

/// Rounds the embeddings and the matrices of the first `n_layers` layers, and makes the rest trainable.
pub(super) fn round_first_layers(model: &mut impl Weights, n_layers: usize) {
    let layer = |name: &str| -> Option<usize> {
        let (_, behind) = name.split_once("encoder.layer.")?;
        behind.split('.').next()?.parse().ok()
    };
    round_words(model);
    files::round_weights(model, Bits::Four, |name| match layer(name) {
        Some(layer) => layer < n_layers,
        None => name.contains("embeddings"),
    });
}

/// Rounds all matrices that are stored in few bits, and makes the rest trainable: norms, biases, the head.
pub(super) fn round_all(model: &mut impl Weights) {
    round_words(model);
    files::round_weights(model, Bits::Four, |_| true);
}

/// Writes a judge in a few bits a weight; `write_config` writes its `config.json`. The table of words goes to a file in the folder
/// `words`, to which the judge's folder has a link.
pub(super) fn save_in_few_bits(
    model: &mut impl Weights,
    words: &Path,
    folder: &Path,
    write_config: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    const WORDS: &str = "words.safetensors";
    const LAYERS: &str = "layers.safetensors";
    let (entries, quantization) = files::compressed(model, Bits::Four);
    let total: u64 = entries.iter().map(Entry::len).sum();
    let file = |entry: &Entry<'_>| match is_of_words(&entry.name) {
        true => WORDS,
        false => LAYERS,
    };
    let placed = entries
        .iter()
        .map(|entry| (entry.name.clone(), file(entry)));
    let weight_map: BTreeMap<String, &str> = placed.collect();
    let (of_words, layers) = entries.into_iter().partition(|entry| file(entry) == WORDS);
    files::write_file(&words.join(WORDS), of_words)?;
    share(words, WORDS, folder)?;
    files::write_file(&folder.join(LAYERS), layers)?;
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    files::write_json(&folder.join("model.safetensors.index.json"), &index)?;
    write_config(folder)?;
    tell_bits(folder, quantization)
}

/// Makes `config.json` say in how many bits the weights are.
fn tell_bits(folder: &Path, quantization: Value) -> Result<()> {
    let path = folder.join("config.json");
    let mut config: Value = files::read_json(&path)?;
    config["quantization_config"] = quantization;
    files::write_json(&path, &config)
}

/// Links `folder/name` to `from/name`; a copy where there are no symlinks.
pub(super) fn share(from: &Path, name: &str, folder: &Path) -> Result<()> {
    files::create_dir(folder)?;
    let to = folder.join(name);
    if to.symlink_metadata().is_ok() {
        fs::remove_file(&to).map_err(Error::io("replace", &to))?;
    }
    #[cfg(unix)]
    let shared = {
        let relative = pathdiff::diff_paths(from, folder).unwrap_or_else(|| from.to_path_buf());
        std::os::unix::fs::symlink(relative.join(name), &to)
    };
    #[cfg(not(unix))]
    let shared = fs::copy(from.join(name), &to).map(|_| ());
    shared.map_err(Error::io("write", &to))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::files::{Checkpoint, Precision};
    use crate::nn::layers::weight::draw_matrices;
    use crate::nn::{
        RobertaConfig, RobertaKind, SequenceClassifier, SequenceClassifierConfig, WeightMut,
    };

    /// The name of each matrix, its values, and whether it is fixed.
    fn matrices(model: &mut impl Weights) -> Vec<(String, Vec<f32>, bool)> {
        let mut found = Vec::new();
        model.weights("", &mut |name, weight| {
            if let WeightMut::Matrix(matrix) = weight {
                let values = matrix.val().into_data().iter::<f32>().collect();
                found.push((name.to_string(), values, matrix.as_dense().is_some()));
            }
        });
        found
    }

    #[test]
    fn matrices_are_rounded_from_the_first_layer_on_and_what_is_rounded_is_fixed() {
        let device = Device::flex();
        let bert = RobertaConfig::new()
            .with_kind(RobertaKind::Bert)
            .with_vocab_size(40)
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(3)
            .with_num_attention_heads(2)
            .with_max_position_embeddings(16)
            .with_num_labels(3);
        let mut judge = SequenceClassifierConfig::Roberta(bert).init(&device);
        draw_matrices(&mut judge, 4, 0.3, &device);
        let mut before = matrices(&mut judge);
        type Step = fn(&mut SequenceClassifier);
        let steps: [(Step, &[&str]); 3] = [
            (round_words, &["word_embeddings"]),
            (
                |judge| round_first_layers(judge, 2),
                &["embeddings", "layer.0.", "layer.1."],
            ),
            (round_all, &["embeddings", "layer.", "pooler"]),
        ];
        for (place, (step, rounded)) in steps.into_iter().enumerate() {
            step(&mut judge);
            let after = matrices(&mut judge);
            for ((name, values, is_fixed), (_, old, was_fixed)) in after.iter().zip(&before) {
                // The two kinds of tokens and the three classes are kept whole.
                let is_whole = ["token_type", "classifier"]
                    .iter()
                    .any(|part| name.contains(part));
                let is_meant = rounded.iter().any(|part| name.contains(part)) && !is_whole;
                assert_eq!(*is_fixed, is_meant, "{name}");
                let unlike = values.iter().zip(old).any(|(new, old)| new != old);
                let is_new = is_meant && (place == 0 || !was_fixed);
                assert_eq!(unlike, is_new, "{name} in step {place}");
                let furthest = values.iter().zip(old).map(|(new, old)| (new - old).abs());
                assert!(furthest.fold(0.0, f32::max) < 0.06, "{name}");
            }
            before = after;
        }
    }

    #[test]
    fn a_shared_file_is_the_same_in_both_folders_wherever_they_are_moved() {
        let folder = tempfile::tempdir().unwrap();
        let (words, judge) = (
            folder.path().join("a/words"),
            folder.path().join("a/judges/nli"),
        );
        for text in ["first", "second"] {
            files::write(&words.join("tokenizer.json"), text.as_bytes()).unwrap();
            share(&words, "tokenizer.json", &judge).unwrap();
        }
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        let found = folder.path().join("b/judges/nli/tokenizer.json");
        assert_eq!(fs::read_to_string(found).unwrap(), "second");
    }

    #[test]
    fn a_gemma_comes_back_as_near_as_8_bits_allow() {
        let device = Device::flex();
        let config = GemmaConfig::gemma_2b()
            .with_vocab_size(20)
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_key_value_heads(2)
            .with_head_dim(16);
        let mut gemma = config.init(&device);
        let values = |gemma: &mut Gemma| {
            let mut found: Vec<Vec<f32>> = Vec::new();
            gemma.weights("", &mut |_, weight| {
                found.push(weight.to_data().iter::<f32>().collect());
            });
            found
        };
        let wanted = values(&mut gemma);
        let folder = tempfile::tempdir().unwrap();
        save_gemma(&mut gemma, &config, folder.path()).unwrap();
        let checkpoint = Checkpoint::folder(folder.path());
        let mut loaded = files::load_decoder(&checkpoint, Precision::default(), &device).unwrap();
        for (wanted, found) in wanted.iter().zip(values(&mut loaded)) {
            let largest = wanted
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let furthest = (wanted.iter().zip(found))
                .map(|(wanted, found)| (wanted - found).abs())
                .fold(0.0, f32::max);
            assert!(furthest <= largest / 50.0, "{furthest} of {largest}");
        }
        let size = |name: &str| folder.path().join(name).metadata().unwrap().len();
        assert!(size("model.safetensors") < 20_000);
    }
}
