//! Hugging Face's files: `config.json`, safetensors, PEFT's adapter folder.

mod adapter;
mod config;
mod weights;

pub use adapter::{load_adapter, read_lora_config, save_adapter};
pub use config::{
    ClassifierConfig, read_classifier_config, read_eos_token_ids, read_gemma_config,
    write_classifier_config, write_gemma_config,
};
pub use weights::{check_weights, load_weights, save_weights};

use std::path::Path;

use burn::tensor::{DType, Device};

use crate::Result;
use crate::nn::{Deberta, Gemma};

/// A Gemma from its folder, with frozen weights.
pub fn load_gemma(folder: &Path, dtype: DType, device: &Device) -> Result<Gemma> {
    let mut model = read_gemma_config(folder)?.init(device);
    load_weights(&mut model, folder, dtype, device)?;
    Ok(model)
}

/// A classifier from its folder, with frozen weights.
pub fn load_classifier(
    folder: &Path,
    dtype: DType,
    device: &Device,
) -> Result<(Deberta, ClassifierConfig)> {
    let config = read_classifier_config(folder)?;
    let mut model = config.model.init(device);
    load_weights(&mut model, folder, dtype, device)?;
    Ok((model, config))
}
