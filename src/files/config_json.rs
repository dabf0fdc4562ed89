//! What all `config.json` share: the architecture, the names of dtypes, and how weights are quantized.

use std::path::Path;

use burn::tensor::DType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Checkpoint, Precision, weight_sizes};
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

/// Refuses settings that change what a model computes and that the models here do not have.
///
/// Each of `fixed` is a key with the values that change nothing; no value, `null`, `false`, and an empty list or object
/// change nothing either.
pub(super) fn check_fixed(path: &Path, config: &Value, fixed: &[(&str, &[Value])]) -> Result<()> {
    for (key, allowed) in fixed {
        let Some(value) = config.get(*key).filter(|value| !is_off(value)) else {
            continue;
        };
        // Two numbers are one whether they are written 1 or 1.0.
        let is = |allowed: &Value| allowed == value || numbers_agree(allowed, value);
        if allowed.iter().any(is) {
            continue;
        }
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let can = match allowed.is_empty() {
            true => "only a model without it".to_string(),
            false => format!("only {}", allowed.join(" or ")),
        };
        let reason = format!("\"{key}\" is {value}, which is not supported; {can} can be read");
        return Err(Error::invalid(path, reason));
    }
    Ok(())
}

fn numbers_agree(a: &Value, b: &Value) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Whether a setting is absent in all but name.
pub(super) fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    }
}

/// Refuses a `config.json` that describes a model much larger than the weights that are there, before memory is taken for it.
///
/// - values: how many the config describes, about
pub(super) fn check_size(checkpoint: &Checkpoint, values: f64) -> Result<()> {
    /// A shape may be twice as large as the files and is still told by the names of its weights.
    const MOST: f64 = 4.0;
    const SMALL: f64 = 1e7;
    let there = weight_sizes(checkpoint, Precision::default())?.values as f64;
    if values <= SMALL.max(MOST * there) {
        return Ok(());
    }
    let reason = format!(
        "describes a model of {values:.1e} values, but the files hold {there:.1e}: a size in it is wrong, or the weights \
         are another model's"
    );
    Err(Error::invalid(checkpoint.path(CONFIG), reason))
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
    if text("quant_method") == "compressed-tensors" {
        return check_packed(path, config);
    }
    let (method, kind) = (text("quant_method"), text("bnb_4bit_quant_type"));
    if method != "bitsandbytes" || kind != "nf4" || config.get("load_in_4bit") != Some(&json!(true))
    {
        let reason = format!(
            "quantization_config names {method} with type {kind}; only bitsandbytes in 4 bit with nf4 and compressed-tensors are supported"
        );
        return Err(Error::invalid(path, reason));
    }
    Ok(())
}

/// Refuses weights that compressed-tensors packs in another way than is read here.
fn check_packed(path: &Path, config: &Value) -> Result<()> {
    let refused = |what: String| {
        let reason = format!(
            "quantization_config has {what}; of compressed-tensors only pack-quantized is supported, with symmetric integers in 4 or 8 \
             bits"
        );
        Err(Error::invalid(path, reason))
    };
    if config["format"] != "pack-quantized" {
        return refused(format!("the format {}", config["format"]));
    }
    let Some(groups) = config["config_groups"].as_object() else {
        return refused(format!("config_groups {}", config["config_groups"]));
    };
    for group in groups.values() {
        let weights = &group["weights"];
        for (key, allowed) in [
            ("num_bits", &[json!(4), json!(8)][..]),
            ("type", &[json!("int")]),
            ("symmetric", &[json!(true)]),
        ] {
            if !allowed.contains(&weights[key]) {
                return refused(format!("weights with \"{key}\" {}", weights[key]));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_changes_results_is_refused_by_name_and_one_that_is_off_is_not() {
        let check = |config: Value| {
            let fixed: [(&str, &[Value]); 3] = [
                ("attention_bias", &[]),
                ("hidden_act", &[json!("gelu")]),
                ("z_steps", &[json!(0), json!(1)]),
            ];
            check_fixed(Path::new("config.json"), &config, &fixed)
                .map_err(|error| error.to_string())
        };
        for off in [
            json!({}),
            json!({"attention_bias": false, "hidden_act": "gelu", "z_steps": 1.0}),
            json!({"attention_bias": null, "hidden_act": null, "z_steps": 0}),
        ] {
            assert_eq!(check(off.clone()), Ok(()), "{off}");
        }
        for (on, told) in [
            (
                json!({"attention_bias": true}),
                "\"attention_bias\" is true",
            ),
            (json!({"hidden_act": "silu"}), "only \"gelu\" can be read"),
            (json!({"z_steps": 2}), "only 0 or 1 can be read"),
        ] {
            let error = check(on).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
