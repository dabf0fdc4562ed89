//! `config.json` of DeBERTa classifiers.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{activation, invalid};
use crate::files::config_json::parse;
use crate::nn::{DebertaConfig, PositionTerm, check_pad};
use crate::{Error, Result};

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
#[serde(untagged)]
enum PosAttType {
    List(Vec<String>),
    Text(String),
}

/// Reads the shape of a DeBERTa, and the id of padding.
pub(super) fn read(path: &Path, value: Value, num_labels: usize) -> Result<(DebertaConfig, i32)> {
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
    let pad_token_id = json.pad_token_id.unwrap_or(0);
    check_pad(pad_token_id, model.vocab_size).map_err(invalid(path))?;
    Ok((model, pad_token_id as i32))
}

/// Writes the shape of a DeBERTa.
pub(super) fn write(model: &DebertaConfig) -> Value {
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
