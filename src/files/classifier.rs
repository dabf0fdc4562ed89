//! `config.json` of classifiers.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config_json::{CONFIG, check_size, parse, read_config};
use super::encoder_checks::{check_pad, check_unsupported, values};
use super::weights::{self, Part};
use super::{Checkpoint, Precision};
use crate::nn::{
    Activation, DebertaConfig, InvalidConfig, PositionTerm, RobertaConfig, SequenceClassifier,
    SequenceClassifierConfig,
};
use crate::{Error, Result, files};

/// The architectures that transformers calls by these names.
const MODEL_TYPES: [&str; 2] = ["deberta-v2", "xlm-roberta"];

/// No classifier has more classes.
const MOST_LABELS: usize = 1_000_000;

/// A classifier's shape and what its classes are called.
#[derive(Clone, Debug)]
pub struct ClassifierConfig {
    /// The shape.
    pub model: SequenceClassifierConfig,
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
        match &self.model {
            SequenceClassifierConfig::Deberta(model) if model.position_biased_input => {
                model.max_position_embeddings
            }
            SequenceClassifierConfig::Deberta(model) => {
                model.max_position_embeddings.max(RELATIVE_TOKENS)
            }
            SequenceClassifierConfig::Roberta(model) => model.max_tokens(),
        }
    }
}

#[derive(Deserialize)]
struct LabelsJson {
    num_labels: Option<usize>,
    id2label: Option<std::collections::BTreeMap<String, String>>,
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
    pad_token_id: Option<i64>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    pooler_dropout: Option<f64>,
    cls_dropout: Option<f64>,
}

#[derive(Deserialize)]
struct RobertaJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    pad_token_id: Option<i64>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    classifier_dropout: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PosAttType {
    List(Vec<String>),
    Text(String),
}

/// Reads the `config.json` of a DeBERTa-v2 or XLM-RoBERTa classifier.
pub fn read_classifier_config(checkpoint: &Checkpoint) -> Result<ClassifierConfig> {
    let path = checkpoint.path(CONFIG);
    let value = read_config(checkpoint, &MODEL_TYPES)?;
    check_unsupported(&path, &value)?;
    let json: LabelsJson = parse(&path, value.clone())?;
    let labels: Vec<String> = match &json.id2label {
        Some(names) => (0..names.len())
            .map(|label_idx| names.get(&label_idx.to_string()).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::invalid(&path, "id2label does not name the classes 0, 1, 2 …"))?,
        None => (0..json.num_labels.unwrap_or(2).min(MOST_LABELS + 1))
            .map(|label_idx| format!("LABEL_{label_idx}"))
            .collect(),
    };
    if labels.len() > MOST_LABELS {
        let reason = format!("has more than {MOST_LABELS} classes (\"num_labels\")");
        return Err(Error::invalid(&path, reason));
    }
    let is_deberta = value["model_type"] == json!("deberta-v2");
    let (model, pad_token_id) = if is_deberta {
        let (model, pad_token_id) = deberta(&path, value, labels.len())?;
        (SequenceClassifierConfig::Deberta(model), pad_token_id)
    } else {
        let model = roberta(&path, value, labels.len())?;
        let pad_token_id = model.pad_token_id as i32;
        (SequenceClassifierConfig::Roberta(model), pad_token_id)
    };
    Ok(ClassifierConfig {
        model,
        labels,
        pad_token_id,
    })
}

fn deberta(path: &Path, value: Value, num_labels: usize) -> Result<(DebertaConfig, i32)> {
    let json: DebertaJson = parse(path, value)?;
    let refuse = |reason: String| Err(Error::invalid(path, reason));
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
    let names = match json.pos_att_type {
        Some(PosAttType::List(list)) => list,
        Some(PosAttType::Text(text)) => text
            .split('|')
            .map(|term| term.trim().to_lowercase())
            .filter(|term| !term.is_empty())
            .collect(),
        None => Vec::new(),
    };
    // transformers ignores a term that it does not know; the model would then not compute what it was trained to.
    let term = |name: &String| {
        PositionTerm::from_name(name).ok_or_else(|| {
            let reason = format!("the term {name} of pos_att_type is not supported");
            Error::invalid(path, reason)
        })
    };
    let pos_att_type = names.iter().map(term).collect::<Result<Vec<_>>>()?;
    let positive = |value: Option<i64>| {
        value
            .and_then(|value| usize::try_from(value).ok())
            .filter(|&value| value > 0)
    };
    let model = DebertaConfig::new()
        .with_vocab_size(json.vocab_size)
        .with_hidden_size(json.hidden_size)
        .with_intermediate_size(json.intermediate_size)
        .with_num_hidden_layers(json.num_hidden_layers)
        .with_num_attention_heads(json.num_attention_heads)
        .with_num_labels(num_labels)
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
        .with_hidden_act(activation(path, json.hidden_act)?)
        .with_pooler_hidden_act(activation(path, json.pooler_hidden_act)?)
        .with_hidden_dropout_prob(json.hidden_dropout_prob.unwrap_or(0.1))
        .with_attention_probs_dropout_prob(json.attention_probs_dropout_prob.unwrap_or(0.1))
        .with_pooler_dropout(json.pooler_dropout.unwrap_or(0.0))
        .with_cls_dropout(json.cls_dropout);
    model.check().map_err(invalid(path))?;
    let pad_token_id = check_pad(path, json.pad_token_id.unwrap_or(0), model.vocab_size)?;
    Ok((model, pad_token_id))
}

fn roberta(path: &Path, value: Value, num_labels: usize) -> Result<RobertaConfig> {
    let json: RobertaJson = parse(path, value)?;
    if let Some(kind) = json
        .position_embedding_type
        .filter(|kind| kind != "absolute")
    {
        let reason = format!("position_embedding_type {kind} is not supported");
        return Err(Error::invalid(path, reason));
    }
    let pad_token_id = json.pad_token_id.unwrap_or(1);
    let pad_token_id = check_pad(path, pad_token_id, json.vocab_size)? as usize;
    let model = RobertaConfig::new()
        .with_vocab_size(json.vocab_size)
        .with_hidden_size(json.hidden_size)
        .with_intermediate_size(json.intermediate_size)
        .with_num_hidden_layers(json.num_hidden_layers)
        .with_num_attention_heads(json.num_attention_heads)
        .with_num_labels(num_labels)
        .with_max_position_embeddings(json.max_position_embeddings.unwrap_or(512))
        .with_type_vocab_size(json.type_vocab_size.unwrap_or(2))
        .with_pad_token_id(pad_token_id)
        .with_layer_norm_eps(json.layer_norm_eps.unwrap_or(1e-12))
        .with_hidden_act(activation(path, json.hidden_act)?)
        .with_hidden_dropout_prob(json.hidden_dropout_prob.unwrap_or(0.1))
        .with_attention_probs_dropout_prob(json.attention_probs_dropout_prob.unwrap_or(0.1))
        .with_classifier_dropout(json.classifier_dropout);
    model.check().map_err(invalid(path))?;
    Ok(model)
}

fn invalid(path: &Path) -> impl Fn(InvalidConfig) -> Error + '_ {
    move |error| Error::invalid(path, error.to_string())
}

fn activation(path: &Path, name: Option<String>) -> Result<Activation> {
    let name = name.as_deref().unwrap_or("gelu");
    Activation::from_name(name)
        .ok_or_else(|| Error::invalid(path, format!("the activation {name} is not supported")))
}

/// Writes a classifier's `config.json`.
pub fn write_classifier_config(folder: &Path, config: &ClassifierConfig) -> Result<()> {
    let id2label: Map<String, Value> = config
        .labels
        .iter()
        .enumerate()
        .map(|(label_idx, name)| (label_idx.to_string(), json!(name)))
        .collect();
    let label2id: Map<String, Value> = config
        .labels
        .iter()
        .enumerate()
        .map(|(label_idx, name)| (name.clone(), json!(label_idx)))
        .collect();
    let mut value = match &config.model {
        SequenceClassifierConfig::Deberta(model) => deberta_json(model),
        SequenceClassifierConfig::Roberta(model) => roberta_json(model),
    };
    value["pad_token_id"] = json!(config.pad_token_id);
    value["id2label"] = json!(id2label);
    value["label2id"] = json!(label2id);
    value["dtype"] = json!("float32");
    value["torch_dtype"] = json!("float32");
    files::write_json(&folder.join(CONFIG), &value)
}

fn deberta_json(model: &DebertaConfig) -> Value {
    let number = |value: Option<usize>| value.map_or(json!(-1), |value| json!(value));
    json!({
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
        "pooler_dropout": model.pooler_dropout,
        "cls_dropout": model.cls_dropout,
        "hidden_dropout_prob": model.hidden_dropout_prob,
        "attention_probs_dropout_prob": model.attention_probs_dropout_prob,
        "initializer_range": model.initializer_range,
    })
}

fn roberta_json(model: &RobertaConfig) -> Value {
    json!({
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.num_hidden_layers,
        "num_attention_heads": model.num_attention_heads,
        "max_position_embeddings": model.max_position_embeddings,
        "type_vocab_size": model.type_vocab_size,
        "position_embedding_type": "absolute",
        "layer_norm_eps": model.layer_norm_eps,
        "hidden_act": model.hidden_act,
        "hidden_dropout_prob": model.hidden_dropout_prob,
        "attention_probs_dropout_prob": model.attention_probs_dropout_prob,
        "classifier_dropout": model.classifier_dropout,
        "initializer_range": model.initializer_range,
        "bos_token_id": 0,
        "eos_token_id": 2,
    })
}

/// A classifier from its files, with frozen weights.
pub fn load_classifier(
    checkpoint: &Checkpoint,
    precision: Precision,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let config = read_classifier_config(checkpoint)?;
    check_size(checkpoint, values(&config.model))?;
    let mut model = config.model.init(device);
    weights::load(&mut model, checkpoint, Part::Whole, precision, device)?;
    Ok((model, config))
}

/// A classifier of `num_labels` classes to be fine-tuned, in f32: as it is if the checkpoint holds one, else with a fresh head
/// behind the base model that the checkpoint holds.
///
/// # Errors
///
/// A classifier that has fewer classes.
pub fn load_classifier_or_base(
    checkpoint: &Checkpoint,
    num_labels: usize,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let mut config = read_classifier_config(checkpoint)?;
    let part = if weights::has_head(checkpoint)? {
        if config.labels.len() < num_labels {
            let reason = format!(
                "has {} classes, but the data has {num_labels}",
                config.labels.len()
            );
            return Err(Error::invalid(checkpoint.name(), reason));
        }
        Part::Whole
    } else {
        config.labels = (0..num_labels)
            .map(|label| format!("LABEL_{label}"))
            .collect();
        config.model = config.model.with_num_labels(num_labels);
        Part::Body
    };
    check_size(checkpoint, values(&config.model))?;
    let mut model = config.model.init(device);
    weights::load(&mut model, checkpoint, part, Precision::default(), device)?;
    Ok((model, config))
}
