//! Writes checkpoints as they travel inside the program: the Gemma in bf16, judges in few bits.

use std::path::Path;

use burn::tensor::DType;
use serde_json::{Value, json};

use crate::Result;
use crate::files::{self, Entry};
use crate::nn::Weights;
use crate::progress::Job;

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

/// Writes a judge in a few bits a weight, see [`files::save_compressed`]; `write_config` writes its `config.json`.
pub(super) fn save_in_few_bits(
    model: &mut impl Weights,
    folder: &Path,
    write_config: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    let quantization = files::save_compressed(model, folder)?;
    write_config(folder)?;
    let path = folder.join("config.json");
    let mut config: Value = files::read_json(&path)?;
    config["quantization_config"] = quantization;
    files::write_json(&path, &config)
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
