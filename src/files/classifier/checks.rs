//! What a classifier's `config.json` may not say.

use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::files::config_json::check_fixed;
use crate::nn::SequenceClassifierConfig;

/// Refuses what changes results and is not in the encoders here.
pub(super) fn check_unsupported(path: &Path, config: &Value) -> Result<()> {
    let of = |key: &str| config.get(key).cloned();
    let heads = [of("hidden_size"), of("num_attention_heads")];
    let head = match heads
        .each_ref()
        .map(|size| size.as_ref().and_then(Value::as_u64))
    {
        [Some(hidden), Some(heads)] if heads > 0 => json!(hidden / heads),
        _ => Value::Null,
    };
    let hidden = of("hidden_size").unwrap_or_default();
    check_fixed(
        path,
        config,
        &[
            (
                "problem_type",
                &[json!("single_label_classification"), json!("regression")],
            ),
            ("attention_head_size", &[head]),
            ("pooler_hidden_size", &[hidden]),
            ("z_steps", &[json!(0), json!(1)]),
            ("is_decoder", &[]),
            ("is_encoder_decoder", &[]),
            ("add_cross_attention", &[]),
            ("pruned_heads", &[]),
            ("rope_scaling", &[]),
            ("rope_parameters", &[]),
            ("sliding_window", &[]),
            ("norm_rel_ebd", &[json!("layer_norm"), json!("none")]),
        ],
    )
}

/// How many values a classifier's body of that shape has, about.
pub(super) fn values(model: &SequenceClassifierConfig) -> f64 {
    let ([tables, hidden, inner, layers], labels) = match model {
        SequenceClassifierConfig::Deberta(model) => {
            let distances = model.position_buckets.or(model.max_relative_positions);
            let positions = model
                .max_position_embeddings
                .max(2 * distances.unwrap_or(0));
            let tables = [model.vocab_size, positions, model.type_vocab_size];
            let sizes = [
                model.hidden_size,
                model.intermediate_size,
                model.num_hidden_layers,
            ];
            (sizes_of(&tables, sizes), model.num_labels)
        }
        SequenceClassifierConfig::Roberta(model) => {
            let tables = [
                model.vocab_size,
                model.max_position_embeddings,
                model.type_vocab_size,
            ];
            let sizes = [
                model.hidden_size,
                model.intermediate_size,
                model.num_hidden_layers,
            ];
            (sizes_of(&tables, sizes), model.num_labels)
        }
    };
    let layer = 4.0 * hidden + 2.0 * inner;
    (tables + layers * layer + labels as f64) * hidden
}

fn sizes_of(tables: &[usize], sizes: [usize; 3]) -> [f64; 4] {
    let tables = tables.iter().map(|&rows| rows as f64).sum();
    let [hidden, inner, layers] = sizes.map(|size| size as f64);
    [tables, hidden, inner, layers]
}
