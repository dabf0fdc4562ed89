//! A model's folder, written from another checkpoint.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Checkpoint;
use super::shards::{Entry, write_shards};
use crate::{Error, Result, files};

/// What a model's folder has beside its weights and `config.json`.
pub const COMPANIONS: [&str; 12] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "spm.model",
    "judge.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
];

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Safetensors files.
    pub files: usize,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Weights that were changed.
    pub changed: usize,
}

/// Writes weights, what else the checkpoint `base` has, and `config.json` to the folder `output`.
pub(super) fn write_model(
    base: &Checkpoint,
    output: &Path,
    entries: Vec<Entry<'_>>,
    max_shard_bytes: u64,
    config: &Value,
) -> Result<usize> {
    let _lock = files::lock_folder(output)?;
    let weights = [
        "config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
    ];
    let written = COMPANIONS
        .iter()
        .filter(|name| base.has(name))
        .chain(&weights);
    if let Some(there) = written.into_iter().find(|name| output.join(name).exists()) {
        let reason = format!("holds a model already, or a {there} of its own; name another folder");
        return Err(Error::invalid(output, reason));
    }
    let n_files = write_shards(output, entries, max_shard_bytes)?;
    base.copy_to(&COMPANIONS, output)?;
    // Last: a folder that has it is whole.
    files::write_json(&output.join("config.json"), config)?;
    Ok(n_files)
}
