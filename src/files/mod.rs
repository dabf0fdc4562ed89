//! Hugging Face's files: `config.json`, safetensors, PEFT's adapter folder; and text, JSON and JSON Lines.
//!
//! With `nn` this is a whole library: `apc = { default-features = false, features = ["files"] }` loads checkpoints and
//! adapters into burn modules and writes them. No network, no tokenizers, no command line.

mod classifier;
mod gemma;
mod io;
mod merge;
mod nf4;
mod peft;
mod shards;
mod weights;

pub use classifier::{ClassifierConfig, read_classifier_config, write_classifier_config};
pub use gemma::{read_eos_token_ids, read_gemma_config, write_gemma_config};
pub use io::*;
pub use merge::{Written, merge_adapter};
pub use nf4::{Quantization, quantize_model};
pub use peft::{AdapterConfig, load_adapter, save_adapter};
use std::path::Path;
pub use weights::{check_weights, load_weights, save_weights};

use burn::tensor::{DType, Device};

use crate::nn::{Gemma, SequenceClassifier};
use crate::{Error, Result};
use weights::Part;

/// A Gemma from its folder, with frozen weights; a checkpoint in NF4 stays in NF4.
pub fn load_gemma(folder: &Path, dtype: DType, device: &Device) -> Result<Gemma> {
    load_quantized_gemma(folder, Quantization::None, dtype, device)
}

/// A Gemma from its folder, with frozen weights that are quantized while they are read.
pub fn load_quantized_gemma(
    folder: &Path,
    quantization: Quantization,
    dtype: DType,
    device: &Device,
) -> Result<Gemma> {
    let mut model = read_gemma_config(folder)?.init(device);
    weights::load(&mut model, folder, Part::Whole, quantization, dtype, device)?;
    Ok(model)
}

/// A classifier from its folder, with frozen weights.
pub fn load_classifier(
    folder: &Path,
    dtype: DType,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let config = read_classifier_config(folder)?;
    let mut model = config.model.init(device);
    load_weights(&mut model, folder, dtype, device)?;
    Ok((model, config))
}

/// A classifier of `num_labels` classes to be fine-tuned, in f32: as it is if the folder holds one, else with a fresh head
/// behind the base model that the folder holds.
///
/// # Errors
///
/// A classifier that has fewer classes.
pub fn load_classifier_or_base(
    folder: &Path,
    num_labels: usize,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let mut config = read_classifier_config(folder)?;
    let part = if weights::has_head(folder)? {
        if config.labels.len() < num_labels {
            let reason = format!(
                "has {} classes, but the data has {num_labels}",
                config.labels.len()
            );
            return Err(Error::invalid(folder, reason));
        }
        Part::Whole
    } else {
        config.labels = (0..num_labels)
            .map(|label| format!("LABEL_{label}"))
            .collect();
        config.model = config.model.with_num_labels(num_labels);
        Part::Body
    };
    let mut model = config.model.init(device);
    weights::load(
        &mut model,
        folder,
        part,
        Quantization::None,
        DType::F32,
        device,
    )?;
    Ok((model, config))
}
