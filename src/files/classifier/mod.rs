//! Classifiers: their `config.json`, and their weights.

mod checks;
mod deberta;
mod roberta;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config_json::{
    CONFIG, check_quantization, check_size, is_quantized, parse, read_config,
};
use super::weights::{self, Part};
use super::{Checkpoint, Precision};
use crate::nn::{
    Activation, InvalidConfig, RobertaKind, SequenceClassifier, SequenceClassifierConfig,
};
use crate::{Error, Result, files};
use checks::{check_unsupported, values};

/// The architectures that transformers calls by these names.
const MODEL_TYPES: [&str; 4] = ["deberta-v2", "xlm-roberta", "roberta", "bert"];
/// More classes than any text classifier has; each has a row in the head, and a name.
pub const MOST_CLASSES: usize = 1 << 16;

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
    id2label: Option<BTreeMap<String, Label>>,
}

/// A class's name, which some checkpoints give as a number.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Label {
    Text(String),
    Number(i64),
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        match label {
            Label::Text(text) => text,
            Label::Number(number) => number.to_string(),
        }
    }
}

/// Reads the `config.json` of a DeBERTa-v2, XLM-RoBERTa, RoBERTa or BERT classifier.
pub fn read_classifier_config(checkpoint: &Checkpoint) -> Result<ClassifierConfig> {
    let path = checkpoint.path(CONFIG);
    let value = read_config(checkpoint, &MODEL_TYPES)?;
    check_unsupported(&path, &value)?;
    if is_quantized(&value) {
        check_quantization(&path, &value["quantization_config"])?;
    }
    let labels = labels(&path, parse(&path, value.clone())?)?;
    let kind = match value["model_type"].as_str() {
        Some("bert") => Some(RobertaKind::Bert),
        Some("roberta") => Some(RobertaKind::Roberta),
        Some("xlm-roberta") => Some(RobertaKind::XlmRoberta),
        _ => None,
    };
    let (model, pad_token_id) = match kind {
        None => {
            let (model, pad_token_id) = deberta::read(&path, value, labels.len())?;
            (SequenceClassifierConfig::Deberta(model), pad_token_id)
        }
        Some(kind) => {
            let model = roberta::read(&path, kind, value, labels.len())?;
            let pad_token_id = model.pad_token_id as i32;
            (SequenceClassifierConfig::Roberta(model), pad_token_id)
        }
    };
    Ok(ClassifierConfig {
        model,
        labels,
        pad_token_id,
    })
}

/// The classes' names in the order of the logits; those that have none are called as transformers calls them.
fn labels(path: &Path, json: LabelsJson) -> Result<Vec<String>> {
    let count = match &json.id2label {
        Some(names) => names.len(),
        None => json.num_labels.unwrap_or(2),
    };
    if !(1..=MOST_CLASSES).contains(&count) {
        let reason = format!("has {count} classes, but 1 to {MOST_CLASSES} are supported");
        return Err(Error::invalid(path, reason));
    }
    let names = |names: &BTreeMap<String, Label>| {
        (0..count)
            .map(|label_idx| names.get(&label_idx.to_string()).cloned().map(String::from))
            .collect::<Option<_>>()
    };
    match &json.id2label {
        Some(found) => names(found).ok_or_else(|| {
            let reason = "\"id2label\" does not name the classes 0, 1, 2 …";
            Error::invalid(path, reason)
        }),
        None => Ok((0..count)
            .map(|label_idx| format!("LABEL_{label_idx}"))
            .collect()),
    }
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
        SequenceClassifierConfig::Deberta(model) => deberta::write(model),
        SequenceClassifierConfig::Roberta(model) => roberta::write(model),
    };
    value["pad_token_id"] = json!(config.pad_token_id);
    value["id2label"] = json!(id2label);
    value["label2id"] = json!(label2id);
    value["dtype"] = json!("float32");
    value["torch_dtype"] = json!("float32");
    files::write_json(&folder.join(CONFIG), &value)
}

/// A classifier from its files, with frozen weights.
pub fn load_classifier(
    checkpoint: &Checkpoint,
    precision: Precision,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let config = read_classifier_config(checkpoint)?;
    if !weights::has_head(checkpoint)? {
        let reason = "has no head of classes: it is a base model, or an encoder of sentences, which only judges relevance; \
             fine-tune it, or name a classifier";
        return Err(Error::invalid(checkpoint.name(), reason));
    }
    check_size(checkpoint, values(&config.model))?;
    let mut model = config.model.init(device);
    weights::load(&mut model, checkpoint, Part::Whole, precision, device)?;
    Ok((model, config))
}

/// Whether a checkpoint holds a classifier, or a base model alone.
pub fn has_classifier_head(checkpoint: &Checkpoint) -> Result<bool> {
    weights::has_head(checkpoint)
}

/// A classifier of `num_labels` classes to be fine-tuned, in f32, with a fresh head behind the model that the checkpoint
/// holds.
pub fn load_classifier_body(
    checkpoint: &Checkpoint,
    num_labels: usize,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let mut config = read_classifier_config(checkpoint)?;
    config.labels = (0..num_labels)
        .map(|label| format!("LABEL_{label}"))
        .collect();
    config.model = config.model.with_num_labels(num_labels);
    let model = load_body(checkpoint, &config, Precision::default(), device)?;
    Ok((model, config))
}

/// An encoder of sentences from its files, with frozen weights; the head of classes that belongs to its type is not used.
pub fn load_encoder(
    checkpoint: &Checkpoint,
    precision: Precision,
    device: &Device,
) -> Result<(SequenceClassifier, ClassifierConfig)> {
    let config = read_classifier_config(checkpoint)?;
    let model = load_body(checkpoint, &config, precision, device)?;
    Ok((model, config))
}

fn load_body(
    checkpoint: &Checkpoint,
    config: &ClassifierConfig,
    precision: Precision,
    device: &Device,
) -> Result<SequenceClassifier> {
    check_size(checkpoint, values(&config.model))?;
    let mut model = config.model.init(device);
    weights::load(&mut model, checkpoint, Part::Body, precision, device)?;
    Ok(model)
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
    if !weights::has_head(checkpoint)? {
        return load_classifier_body(checkpoint, num_labels, device);
    }
    let n_labels = read_classifier_config(checkpoint)?.labels.len();
    if n_labels < num_labels {
        let reason = format!("has {n_labels} classes, but the data has {num_labels}");
        return Err(Error::invalid(checkpoint.name(), reason));
    }
    load_classifier(checkpoint, Precision::default(), device)
}
