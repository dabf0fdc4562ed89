//! `config.json`, as transformers 4 and 5 write it.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::nf4::check_quantization;
use crate::nn::{Activation, DebertaConfig, GemmaConfig};
use crate::{Error, Result, files};

/// A classifier's shape and what its classes are called.
#[derive(Clone, Debug)]
pub struct ClassifierConfig {
    /// The shape.
    pub model: DebertaConfig,
    /// The classes' names in the order of the logits.
    pub labels: Vec<String>,
    /// The id that fills up shorter texts.
    pub pad_token_id: i32,
}

impl ClassifierConfig {
    /// The longest text that the classifier reads, in tokens.
    pub fn max_tokens(&self) -> usize {
        /// What a model reads whose positions are relative, and to which no text is too long; memory is.
        const RELATIVE_TOKENS: usize = 4096;
        if self.model.position_biased_input {
            self.model.max_position_embeddings
        } else {
            self.model.max_position_embeddings.max(RELATIVE_TOKENS)
        }
    }
}

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
pub fn read_eos_token_ids(folder: &Path) -> Result<Vec<i32>> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let json: EosJson = files::read_json(&path)?;
        match json.eos_token_id {
            Some(EosIds::One(id)) => return Ok(vec![id]),
            Some(EosIds::Many(ids)) => return Ok(ids),
            None => {}
        }
    }
    Ok(Vec::new())
}

/// Whether a model's `config.json` says that its weights are quantized.
pub(super) fn is_quantized(folder: &Path) -> Result<bool> {
    let config: Value = files::read_json(&folder.join("config.json"))?;
    Ok(config
        .get("quantization_config")
        .is_some_and(|value| !value.is_null()))
}

/// Reads a Gemma's `config.json`.
pub fn read_gemma_config(folder: &Path) -> Result<GemmaConfig> {
    let path = folder.join("config.json");
    let json: GemmaJson = parse(&path, read_config(folder, "gemma")?)?;
    if json.attention_bias {
        return Err(Error::invalid(
            path,
            "attention_bias is true, which Gemma 1 does not have",
        ));
    }
    if let Some(name) = json
        .hidden_activation
        .filter(|name| Activation::from_name(name) != Some(Activation::GeluTanh))
    {
        return Err(Error::invalid(
            path,
            format!("hidden_activation is {name}, not gelu_pytorch_tanh"),
        ));
    }
    if let Some(quantization) = &json.quantization_config {
        check_quantization(&path, quantization)?;
    }
    let heads = json.num_attention_heads;
    let kv_heads = json.num_key_value_heads.unwrap_or(heads);
    if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        let reason = format!(
            "num_attention_heads is {heads}, no multiple of num_key_value_heads, {kv_heads}"
        );
        return Err(Error::invalid(path, reason));
    }
    let theta = json
        .rope_parameters
        .and_then(|rope| rope.rope_theta)
        .or(json.rope_theta);
    Ok(GemmaConfig::new(
        json.vocab_size,
        json.hidden_size,
        json.intermediate_size,
        json.num_hidden_layers,
        heads,
        kv_heads,
        json.head_dim.unwrap_or(256),
    )
    .with_rms_norm_eps(json.rms_norm_eps.unwrap_or(1e-6))
    .with_rope_theta(theta.unwrap_or(10_000.0))
    .with_max_position_embeddings(json.max_position_embeddings.unwrap_or(8192))
    .with_tie_word_embeddings(json.tie_word_embeddings.unwrap_or(true)))
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
    files::write_json(&folder.join("config.json"), &value)
}

#[derive(Deserialize)]
struct DebertaJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: Option<usize>,
    position_biased_input: Option<bool>,
    type_vocab_size: Option<usize>,
    #[serde(default)]
    relative_attention: bool,
    position_buckets: Option<i64>,
    max_relative_positions: Option<i64>,
    pos_att_type: Option<PosAttType>,
    #[serde(default)]
    share_att_key: bool,
    norm_rel_ebd: Option<String>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    pooler_hidden_act: Option<String>,
    conv_kernel_size: Option<usize>,
    embedding_size: Option<usize>,
    num_labels: Option<usize>,
    id2label: Option<std::collections::BTreeMap<String, String>>,
    pad_token_id: Option<i32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PosAttType {
    List(Vec<String>),
    Text(String),
}

/// Reads a DeBERTa classifier's `config.json`.
pub fn read_classifier_config(folder: &Path) -> Result<ClassifierConfig> {
    let path = folder.join("config.json");
    let json: DebertaJson = parse(&path, read_config(folder, "deberta-v2")?)?;
    let refuse = |reason: String| Err(Error::invalid(&path, reason));
    if json.conv_kernel_size.is_some_and(|size| size > 0) {
        return refuse(
            "the convolution layer (conv_kernel_size) of DeBERTa-v2-xlarge is not supported".into(),
        );
    }
    if json
        .embedding_size
        .is_some_and(|size| size != json.hidden_size)
    {
        return refuse("embedding_size apart from hidden_size is not supported".into());
    }
    let activation = |name: Option<String>| name.unwrap_or_else(|| "gelu".to_string());
    let (hidden_act, pooler_act) = (
        activation(json.hidden_act),
        activation(json.pooler_hidden_act),
    );
    for name in [&hidden_act, &pooler_act] {
        if Activation::from_name(name).is_none() {
            return refuse(format!("the activation {name} is not supported"));
        }
    }
    let pos_att_type = match json.pos_att_type {
        Some(PosAttType::List(list)) => list,
        Some(PosAttType::Text(text)) => text
            .split('|')
            .map(|term| term.trim().to_lowercase())
            .collect(),
        None => Vec::new(),
    };
    let labels: Vec<String> = match &json.id2label {
        Some(names) => (0..names.len())
            .map(|label_idx| names.get(&label_idx.to_string()).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::invalid(&path, "id2label does not name the classes 0, 1, 2 …"))?,
        None => (0..json.num_labels.unwrap_or(2))
            .map(|label_idx| format!("LABEL_{label_idx}"))
            .collect(),
    };
    let positive = |value: Option<i64>| {
        value
            .and_then(|value| usize::try_from(value).ok())
            .filter(|&value| value > 0)
    };
    let model = DebertaConfig::new(
        json.vocab_size,
        json.hidden_size,
        json.intermediate_size,
        json.num_hidden_layers,
        json.num_attention_heads,
        labels.len(),
    )
    .with_max_position_embeddings(json.max_position_embeddings.unwrap_or(512))
    .with_position_biased_input(json.position_biased_input.unwrap_or(true))
    .with_type_vocab_size(json.type_vocab_size.unwrap_or(0))
    .with_relative_attention(json.relative_attention)
    .with_position_buckets(positive(json.position_buckets))
    .with_max_relative_positions(positive(json.max_relative_positions))
    .with_pos_att_type(pos_att_type)
    .with_share_att_key(json.share_att_key)
    .with_norm_rel_ebd(
        json.norm_rel_ebd
            .is_some_and(|names| names.contains("layer_norm")),
    )
    .with_layer_norm_eps(json.layer_norm_eps.unwrap_or(1e-7))
    .with_hidden_act(hidden_act)
    .with_pooler_hidden_act(pooler_act);
    Ok(ClassifierConfig {
        model,
        labels,
        pad_token_id: json.pad_token_id.unwrap_or(0),
    })
}

/// Writes a DeBERTa classifier's `config.json`.
pub fn write_classifier_config(folder: &Path, config: &ClassifierConfig) -> Result<()> {
    let model = &config.model;
    let number = |value: Option<usize>| value.map_or(json!(-1), |value| json!(value));
    let id2label: serde_json::Map<String, Value> = config
        .labels
        .iter()
        .enumerate()
        .map(|(label_idx, name)| (label_idx.to_string(), json!(name)))
        .collect();
    let label2id: serde_json::Map<String, Value> = config
        .labels
        .iter()
        .enumerate()
        .map(|(label_idx, name)| (name.clone(), json!(label_idx)))
        .collect();
    let value = json!({
        "architectures": ["DebertaV2ForSequenceClassification"],
        "model_type": "deberta-v2",
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.num_hidden_layers,
        "num_attention_heads": model.num_attention_heads,
        "max_position_embeddings": model.max_position_embeddings,
        "position_biased_input": model.position_biased_input,
        "type_vocab_size": model.type_vocab_size,
        "relative_attention": model.relative_attention,
        "position_buckets": number(model.position_buckets),
        "max_relative_positions": number(model.max_relative_positions),
        "pos_att_type": model.pos_att_type,
        "share_att_key": model.share_att_key,
        "norm_rel_ebd": if model.norm_rel_ebd { "layer_norm" } else { "none" },
        "layer_norm_eps": model.layer_norm_eps,
        "hidden_act": model.hidden_act,
        "pooler_hidden_act": model.pooler_hidden_act,
        "pooler_hidden_size": model.hidden_size,
        "pooler_dropout": 0.0,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": model.initializer_range,
        "pad_token_id": config.pad_token_id,
        "id2label": id2label,
        "label2id": label2id,
        "dtype": "float32",
        "torch_dtype": "float32",
    });
    files::write_json(&folder.join("config.json"), &value)
}

/// Reads `config.json` and checks that it is of the wanted architecture.
fn read_config(folder: &Path, model_type: &str) -> Result<Value> {
    let path = folder.join("config.json");
    if !folder.is_dir() {
        return Err(Error::invalid(folder, "there is no such checkpoint folder"));
    }
    if !path.is_file() {
        return Err(Error::invalid(
            folder,
            "is no checkpoint: it has no config.json",
        ));
    }
    let value: Value = files::read_json(&path)?;
    match value.get("model_type").and_then(Value::as_str) {
        Some(found) if found == model_type => Ok(value),
        Some(found) => Err(Error::invalid(
            path,
            format!("is a {found} model, but a {model_type} model is needed here"),
        )),
        None => Err(Error::invalid(
            path,
            format!("names no model_type, but a {model_type} model is needed here"),
        )),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::invalid(path, error.to_string()))
}
