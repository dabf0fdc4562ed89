//! Writes checkpoints as they travel inside the program: the Gemma in bf16, judges in few bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::DType;
use serde_json::{Value, json};

use crate::files::{self, Entry};
use crate::nn::Weights;
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

/// Writes a model's weights to `model.safetensors` in bf16, rounded to the nearest.
pub(super) fn save_in_bf16(model: &mut impl Weights, folder: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    model.weights("", &mut |name, weight| {
        tensors.push(Entry::new(
            name,
            weight.to_data().convert_dtype(DType::BF16),
        ));
    });
    files::write_file(&folder.join("model.safetensors"), tensors)
}

/// Whether a weight is the table of words, which all judges share.
fn is_of_words(name: &str) -> bool {
    name.ends_with("word_embeddings.weight")
}

/// Makes parameters of all weights but the table of words, which is rounded as it is stored.
pub(super) fn unfreeze_layers(model: &mut impl Weights) {
    model.unfreeze_weights();
    files::round_weights(model, is_of_words);
    model.weights("", &mut |name, mut weight| {
        if is_of_words(name) {
            weight.freeze();
        }
    });
}

/// Rounds all matrices as they are stored, and makes parameters of the rest.
pub(super) fn unfreeze_rest(model: &mut impl Weights) {
    unfreeze_layers(model);
    files::round_weights(model, |_| true);
}

/// Writes a judge in a few bits a weight; `write_config` writes its `config.json`. The table of words goes to a file in the folder
/// `words`, and the judge's folder points there.
pub(super) fn save_in_few_bits(
    model: &mut impl Weights,
    words: &Path,
    folder: &Path,
    write_config: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    const FILES: [&str; 2] = ["words.safetensors", "layers.safetensors"];
    let (entries, quantization) = files::compressed(model);
    let total: u64 = entries.iter().map(Entry::len).sum();
    let of_words = |entry: &Entry<'_>| {
        let end = entry.name.rfind(".weight").unwrap_or_default() + ".weight".len();
        entry.name.get(..end).is_some_and(is_of_words)
    };
    let mut weight_map = BTreeMap::new();
    for entry in &entries {
        let file = FILES[usize::from(!of_words(entry))];
        weight_map.insert(entry.name.clone(), file);
    }
    let (of_words, layers): (Vec<_>, Vec<_>) = entries.into_iter().partition(of_words);
    files::write_file(&words.join(FILES[0]), of_words)?;
    share(words, FILES[0], folder)?;
    files::write_file(&folder.join(FILES[1]), layers)?;
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    files::write_json(&folder.join("model.safetensors.index.json"), &index)?;
    write_config(folder)?;
    let path = folder.join("config.json");
    let mut config: Value = files::read_json(&path)?;
    config["quantization_config"] = quantization;
    files::write_json(&path, &config)
}

/// Makes a file of one folder one of another as well, by a link where the system has links.
pub(super) fn share(from: &Path, name: &str, folder: &Path) -> Result<()> {
    files::create_dir(folder)?;
    let to = folder.join(name);
    if to.symlink_metadata().is_ok() {
        fs::remove_file(&to).map_err(Error::io("replace", &to))?;
    }
    #[cfg(unix)]
    let shared = {
        let way = pathdiff::diff_paths(from, folder).unwrap_or_else(|| from.to_path_buf());
        std::os::unix::fs::symlink(way.join(name), &to)
    };
    #[cfg(not(unix))]
    let shared = fs::copy(from.join(name), &to).map(|_| ());
    shared.map_err(Error::io("write", &to))
}

/// Makes `config.json` say that the weights are in bf16.
pub(super) fn tell_bf16(folder: &Path) -> Result<()> {
    let path = folder.join("config.json");
    let mut config: Value = files::read_json(&path)?;
    for key in ["dtype", "torch_dtype"] {
        config[key] = json!("bfloat16");
    }
    files::write_json(&path, &config)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::files::{Checkpoint, Precision};
    use crate::nn::GemmaConfig;

    #[test]
    fn weights_come_back_rounded_to_bf16() {
        let device = Device::flex();
        let config = GemmaConfig::gemma_2b()
            .with_vocab_size(20)
            .with_hidden_size(8)
            .with_intermediate_size(16)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_key_value_heads(2)
            .with_head_dim(4);
        let mut gemma = config.init(&device);
        let mut wanted = Vec::new();
        gemma.weights("", &mut |_, weight| {
            let rounded = weight.to_data().convert_dtype(DType::BF16);
            wanted.push(rounded.convert_dtype(DType::F32));
        });
        let folder = tempfile::tempdir().unwrap();
        save_in_bf16(&mut gemma, folder.path()).unwrap();
        files::write_gemma_config(folder.path(), &config).unwrap();
        tell_bf16(folder.path()).unwrap();

        let mut loaded = files::load_gemma(
            &Checkpoint::folder(folder.path()),
            Precision::default(),
            &device,
        )
        .unwrap();
        let mut found = Vec::new();
        loaded.weights("", &mut |_, weight| found.push(weight.to_data()));
        assert_eq!(wanted, found);
        let told: Value = files::read_json(&folder.path().join("config.json")).unwrap();
        assert_eq!(told["torch_dtype"], "bfloat16");
    }
}
