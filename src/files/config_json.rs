//! What all `config.json` share: the architecture, the names of dtypes, and how weights are quantized.

use std::path::Path;

use burn::tensor::DType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Checkpoint;
use crate::{Error, Result};

/// The file's name.
pub(super) const CONFIG: &str = "config.json";

/// Reads `config.json` and checks that it is of a wanted architecture.
pub(super) fn read_config(checkpoint: &Checkpoint, model_types: &[&str]) -> Result<Value> {
    let path = checkpoint.path(CONFIG);
    if checkpoint
        .as_folder()
        .is_some_and(|folder| !folder.is_dir())
    {
        let reason = "there is no such checkpoint folder";
        return Err(Error::invalid(checkpoint.name(), reason));
    }
    if !checkpoint.has(CONFIG) {
        let reason = "is no checkpoint: it has no config.json";
        return Err(Error::invalid(checkpoint.name(), reason));
    }
    let value: Value = checkpoint.read_json(CONFIG)?;
    let wanted = match model_types {
        [several @ .., last] if !several.is_empty() => format!("{} or {last}", several.join(", ")),
        one => one.concat(),
    };
    match value.get("model_type").and_then(Value::as_str) {
        Some(found) if model_types.contains(&found) => Ok(value),
        Some(found) => Err(Error::invalid(
            path,
            format!("is a {found} model, but a {wanted} model is needed here"),
        )),
        None => Err(Error::invalid(
            path,
            format!("names no model_type, but a {wanted} model is needed here"),
        )),
    }
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(path: &Path, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::invalid(path, error.to_string()))
}

/// Whether a model's `config.json` says that its weights are quantized.
pub(super) fn is_quantized(config: &Value) -> bool {
    config
        .get("quantization_config")
        .is_some_and(|value| !value.is_null())
}

/// Refuses a model that is quantized in another way than is read here.
pub(super) fn check_quantization(path: &Path, config: &Value) -> Result<()> {
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or("none");
    let (method, kind) = (text("quant_method"), text("bnb_4bit_quant_type"));
    if method != "bitsandbytes" || kind != "nf4" || config.get("load_in_4bit") != Some(&json!(true))
    {
        let reason = format!(
            "quantization_config names {method} with type {kind}; only bitsandbytes in 4 bit with nf4 is supported"
        );
        return Err(Error::invalid(path, reason));
    }
    Ok(())
}

/// The dtype that `config.json` calls by a name.
pub(super) fn dtype_named(name: &str) -> Option<DType> {
    match name {
        "float32" => Some(DType::F32),
        "bfloat16" => Some(DType::BF16),
        "float16" => Some(DType::F16),
        _ => None,
    }
}

/// What `config.json` calls a dtype of weights.
pub(super) fn name_of(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F32 => Some("float32"),
        DType::BF16 => Some("bfloat16"),
        DType::F16 => Some("float16"),
        _ => None,
    }
}
