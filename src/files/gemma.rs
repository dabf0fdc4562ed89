//! Gemma checkpoints: `config.json`, as transformers 4 and 5 write it, and the weights.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config_json::{CONFIG, check_fixed, check_quantization, check_size, parse, read_config};
use super::weights::{self, Part};
use super::{Checkpoint, Precision};
use crate::nn::{Gemma, GemmaConfig};
use crate::{Error, Result, files};

#[derive(Deserialize)]
struct GemmaJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<Rope>,
    max_position_embeddings: Option<usize>,
    tie_word_embeddings: Option<bool>,
    quantization_config: Option<Value>,
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
}

#[derive(Deserialize)]
struct EosJson {
    eos_token_id: Option<EosIds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EosIds {
    One(i32),
    Many(Vec<i32>),
}

/// The ids at which a checkpoint ends its texts: those of `generation_config.json`, else those of `config.json`.
pub fn read_eos_token_ids(checkpoint: &Checkpoint) -> Result<Vec<i32>> {
    for name in ["generation_config.json", CONFIG] {
        let json: Option<EosJson> = checkpoint.read_json_if_any(name)?;
        match json.and_then(|json| json.eos_token_id) {
            Some(EosIds::One(id)) => return Ok(vec![id]),
            Some(EosIds::Many(ids)) => return Ok(ids),
            None => {}
        }
    }
    Ok(Vec::new())
}

/// Refuses what later Gemmas and other models have and a Gemma 1 has not.
fn check_unsupported(path: &Path, config: &Value) -> Result<()> {
    // The first releases say gelu and mean its tanh form.
    let gelus = ["gelu", "gelu_new", "gelu_pytorch_tanh"].map(Value::from);
    check_fixed(
        path,
        config,
        &[
            ("hidden_act", &gelus),
            ("hidden_activation", &gelus[1..]),
            ("attention_bias", &[]),
            ("mlp_bias", &[]),
            ("attn_logit_softcapping", &[]),
            ("final_logit_softcapping", &[]),
            ("sliding_window", &[]),
            ("layer_types", &[]),
            ("use_bidirectional_attention", &[]),
            ("use_qk_norm", &[]),
            ("qk_norm", &[]),
            ("partial_rotary_factor", &[json!(1)]),
            ("logit_scale", &[json!(1)]),
            ("residual_multiplier", &[json!(1)]),
            ("num_experts", &[json!(0), json!(1)]),
            ("num_local_experts", &[json!(0), json!(1)]),
            ("is_encoder_decoder", &[]),
            ("add_cross_attention", &[]),
        ],
    )?;
    let heads = config.get("head_dim").cloned().unwrap_or(json!(256));
    check_fixed(path, config, &[("query_pre_attn_scalar", &[heads])])?;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(rope) = config.get(key).filter(|rope| rope.is_object()) else {
            continue;
        };
        let default = [json!("default")];
        let fixed: [(&str, &[Value]); 6] = [
            ("rope_type", &default),
            ("type", &default),
            ("factor", &[json!(1)]),
            ("partial_rotary_factor", &[json!(1)]),
            ("attention_factor", &[json!(1)]),
            ("mrope_section", &[]),
        ];
        check_fixed(path, rope, &fixed).map_err(|error| within(path, key, &error))?;
        // Angles by the kind of layer are those of models with sliding windows.
        let kinds = rope.as_object().into_iter().flatten();
        if let Some((kind, _)) = kinds.into_iter().find(|(_, value)| value.is_object()) {
            let reason = format!("\"{key}\" has angles for {kind}, which is not supported");
            return Err(Error::invalid(path, reason));
        }
    }
    Ok(())
}

/// An error about a part of `config.json`, with the part's name.
fn within(path: &Path, key: &str, error: &Error) -> Error {
    match error {
        Error::Invalid { reason, .. } => Error::invalid(path, format!("in \"{key}\": {reason}")),
        error => Error::invalid(path, format!("in \"{key}\": {error}")),
    }
}

/// Reads a Gemma's `config.json`.
pub fn read_gemma_config(checkpoint: &Checkpoint) -> Result<GemmaConfig> {
    let path = checkpoint.path(CONFIG);
    let value = read_config(checkpoint, &["gemma"])?;
    check_unsupported(&path, &value)?;
    let json: GemmaJson = parse(&path, value)?;
    if let Some(quantization) = &json.quantization_config {
        check_quantization(&path, quantization)?;
    }
    let heads = json.num_attention_heads;
    let theta = json
        .rope_parameters
        .and_then(|rope| rope.rope_theta)
        .or(json.rope_theta);
    let config = GemmaConfig::new()
        .with_vocab_size(json.vocab_size)
        .with_hidden_size(json.hidden_size)
        .with_intermediate_size(json.intermediate_size)
        .with_num_hidden_layers(json.num_hidden_layers)
        .with_num_attention_heads(heads)
        .with_num_key_value_heads(json.num_key_value_heads.unwrap_or(heads))
        .with_head_dim(json.head_dim.unwrap_or(256))
        .with_rms_norm_eps(json.rms_norm_eps.unwrap_or(1e-6))
        .with_rope_theta(theta.unwrap_or(10_000.0))
        .with_max_position_embeddings(json.max_position_embeddings.unwrap_or(8192))
        .with_tie_word_embeddings(json.tie_word_embeddings.unwrap_or(true));
    config
        .check()
        .map_err(|error| Error::invalid(path, error.to_string()))?;
    Ok(config)
}

/// Writes a Gemma's `config.json` so that transformers 4 and 5 read it.
pub fn write_gemma_config(folder: &Path, config: &GemmaConfig) -> Result<()> {
    let value = json!({
        "architectures": ["GemmaForCausalLM"],
        "model_type": "gemma",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": false,
        "initializer_range": config.initializer_range,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "dtype": "float32",
        "torch_dtype": "float32",
    });
    files::write_json(&folder.join(CONFIG), &value)
}

/// A Gemma from its files, with frozen weights.
///
/// Weights that are to be quantized are quantized while they are read, one at a time; a checkpoint in NF4 stays in NF4.
///
/// ```no_run
/// use apc::files::{self, Checkpoint, Precision};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let checkpoint = Checkpoint::folder("gemma-1.1-2b-it");
/// let gemma = files::load_gemma(&checkpoint, Precision::default().in_nf4(), &device)?;
/// # Ok::<(), apc::Error>(())
/// ```
///
/// # Errors
///
/// A `config.json` of another architecture or with settings that are not supported, and every weight that is missing,
/// unexpected or of another shape.
pub fn load_gemma(checkpoint: &Checkpoint, precision: Precision, device: &Device) -> Result<Gemma> {
    let config = read_gemma_config(checkpoint)?;
    check_gemma_size(checkpoint, &config)?;
    let mut model = config.init(device);
    weights::load(&mut model, checkpoint, Part::Whole, precision, device)?;
    Ok(model)
}

/// Refuses a shape that is much larger than the weights that are there.
pub fn check_gemma_size(checkpoint: &Checkpoint, config: &GemmaConfig) -> Result<()> {
    check_size(checkpoint, values(config))
}

/// How many values a Gemma of that shape has.
fn values(config: &GemmaConfig) -> f64 {
    let size = |size: usize| size as f64;
    let heads = size(config.num_attention_heads) + size(config.num_key_value_heads);
    let layer = 2.0 * heads * size(config.head_dim) + 3.0 * size(config.intermediate_size);
    let tables = size(config.vocab_size) * if config.tie_word_embeddings { 1.0 } else { 2.0 };
    (tables + size(config.num_hidden_layers) * layer) * size(config.hidden_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the embedded Gemma with these settings changed.
    fn with(changes: Value) -> std::result::Result<(), String> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma");
        let mut config: Value = Checkpoint::folder(&from)
            .read_json(CONFIG)
            .expect("it is there");
        for (key, value) in changes.as_object().expect("settings") {
            config[key] = value.clone();
        }
        let folder = tempfile::tempdir().expect("a folder");
        files::write_json(&folder.path().join(CONFIG), &config).expect("it is written");
        let weights = "model.safetensors";
        std::fs::copy(from.join(weights), folder.path().join(weights)).expect("it is copied");
        let checkpoint = Checkpoint::folder(folder.path());
        let loaded = load_gemma(&checkpoint, Precision::default(), &Device::default());
        loaded.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_gemma_1_does_not_have_is_refused_by_name() {
        for (changes, told) in [
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
                "in \"rope_scaling\": \"rope_type\"",
            ),
            (
                json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
                "\"type\" is \"dynamic\"",
            ),
            (
                json!({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn"}}),
                "yarn",
            ),
            (
                json!({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}),
                "full_attention",
            ),
            (json!({"hidden_act": "silu"}), "\"hidden_act\" is \"silu\""),
            (json!({"hidden_activation": "gelu"}), "hidden_activation"),
            (json!({"attention_bias": true}), "attention_bias"),
            (
                json!({"final_logit_softcapping": 30.0}),
                "final_logit_softcapping",
            ),
            (json!({"sliding_window": 512}), "sliding_window"),
            (json!({"query_pre_attn_scalar": 7}), "query_pre_attn_scalar"),
        ] {
            let error = with(changes.clone()).expect_err("it is not supported");
            assert!(
                error.contains(told) && error.contains("config.json"),
                "{changes}: {error}"
            );
        }
        for same in [
            json!({"hidden_act": "gelu", "hidden_activation": null, "attention_bias": false}),
            json!({"rope_scaling": null, "sliding_window": null, "layer_types": []}),
            json!({"rope_scaling": {"rope_type": "default"}}),
        ] {
            assert_eq!(with(same.clone()), Ok(()), "{same}");
        }
    }

    #[test]
    fn a_config_of_a_model_far_larger_than_its_weights_takes_no_memory() {
        for key in [
            "num_hidden_layers",
            "vocab_size",
            "intermediate_size",
            "head_dim",
        ] {
            for size in [1_u64 << 40, u64::MAX - 1] {
                let error = with(json!({key: size})).expect_err("there is no such model");
                assert!(error.contains("describes a model of"), "{key}: {error}");
            }
        }
    }
}
