//! `config.json` of BERT, RoBERTa and XLM-RoBERTa classifiers.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{activation, invalid};
use crate::files::config_json::parse;
use crate::nn::{RobertaConfig, RobertaKind, check_pad};
use crate::{Error, Result};

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
    #[serde(default)]
    is_decoder: bool,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    classifier_dropout: Option<f64>,
}

/// Reads the shape of a BERT, RoBERTa or XLM-RoBERTa.
pub(super) fn read(
    path: &Path,
    kind: RobertaKind,
    value: Value,
    num_labels: usize,
) -> Result<RobertaConfig> {
    let json: RobertaJson = parse(path, value)?;
    if let Some(kind) = json
        .position_embedding_type
        .filter(|kind| kind != "absolute")
    {
        let reason = format!("position_embedding_type {kind} is not supported");
        return Err(Error::invalid(path, reason));
    }
    if json.is_decoder {
        let reason = "\"is_decoder\" is true, but only encoders are supported";
        return Err(Error::invalid(path, reason));
    }
    let padding = match kind {
        RobertaKind::Bert => 0,
        RobertaKind::Roberta | RobertaKind::XlmRoberta => 1,
    };
    let pad_token_id = json.pad_token_id.unwrap_or(padding);
    check_pad(pad_token_id, json.vocab_size).map_err(invalid(path))?;
    let model = RobertaConfig::new()
        .with_kind(kind)
        .with_vocab_size(json.vocab_size)
        .with_hidden_size(json.hidden_size)
        .with_intermediate_size(json.intermediate_size)
        .with_num_hidden_layers(json.num_hidden_layers)
        .with_num_attention_heads(json.num_attention_heads)
        .with_num_labels(num_labels)
        .with_max_position_embeddings(json.max_position_embeddings.unwrap_or(512))
        .with_type_vocab_size(json.type_vocab_size.unwrap_or(2))
        .with_pad_token_id(pad_token_id as usize)
        .with_layer_norm_eps(json.layer_norm_eps.unwrap_or(1e-12))
        .with_hidden_act(activation(path, json.hidden_act)?)
        .with_hidden_dropout_prob(json.hidden_dropout_prob.unwrap_or(0.1))
        .with_attention_probs_dropout_prob(json.attention_probs_dropout_prob.unwrap_or(0.1))
        .with_classifier_dropout(json.classifier_dropout);
    model.check().map_err(invalid(path))?;
    Ok(model)
}

/// Writes the shape of a BERT, RoBERTa or XLM-RoBERTa.
pub(super) fn write(model: &RobertaConfig) -> Value {
    let (architecture, model_type) = match model.kind {
        RobertaKind::Bert => ("BertForSequenceClassification", "bert"),
        RobertaKind::Roberta => ("RobertaForSequenceClassification", "roberta"),
        RobertaKind::XlmRoberta => ("XLMRobertaForSequenceClassification", "xlm-roberta"),
    };
    let mut value = json!({
        "architectures": [architecture],
        "model_type": model_type,
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
    });
    if model.kind != RobertaKind::Bert {
        value["bos_token_id"] = json!(0);
        value["eos_token_id"] = json!(2);
    }
    value
}
