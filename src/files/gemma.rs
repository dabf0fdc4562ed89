//! `config.json`, as transformers 4 and 5 write it.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config_json::{CONFIG, check_quantization, parse, read_config};
use super::weights::{self, Part};
use super::{Checkpoint, Precision};
use crate::nn::{Activation, Gemma, GemmaConfig};
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
    #[serde(default)]
    attention_bias: bool,
    hidden_activation: Option<String>,
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
        if !checkpoint.has(name) {
            continue;
        }
        let json: EosJson = checkpoint.read_json(name)?;
        match json.eos_token_id {
            Some(EosIds::One(id)) => return Ok(vec![id]),
            Some(EosIds::Many(ids)) => return Ok(ids),
            None => {}
        }
    }
    Ok(Vec::new())
}

fn is_tanh_gelu(name: &str) -> bool {
    matches!(
        Activation::from_name(name),
        Some(Activation::GeluNew | Activation::GeluPytorchTanh)
    )
}

/// Reads a Gemma's `config.json`.
pub fn read_gemma_config(checkpoint: &Checkpoint) -> Result<GemmaConfig> {
    let path = checkpoint.path(CONFIG);
    let json: GemmaJson = parse(&path, read_config(checkpoint, &["gemma"])?)?;
    if json.attention_bias {
        return Err(Error::invalid(
            path,
            "attention_bias is true, which Gemma 1 does not have",
        ));
    }
    if let Some(name) = json.hidden_activation.filter(|name| !is_tanh_gelu(name)) {
        return Err(Error::invalid(
            path,
            format!("hidden_activation is {name}, not gelu_pytorch_tanh"),
        ));
    }
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
    let mut model = read_gemma_config(checkpoint)?.init(device);
    weights::load(&mut model, checkpoint, Part::Whole, precision, device)?;
    Ok(model)
}
