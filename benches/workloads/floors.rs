//! What the work needs at least.

use apc::nn::{DebertaConfig, GemmaConfig};

/// Operations of a Gemma over `tokens`, of which `predicting` have logits; the last layer does no more for the others than
/// their keys and values.
pub(crate) fn forward_flops(config: &GemmaConfig, tokens: usize, predicting: usize) -> f64 {
    let hidden = config.hidden_size;
    let queries = config.num_attention_heads * config.head_dim;
    let cached = 2 * config.num_key_value_heads * config.head_dim;
    let keys_and_values = hidden * cached;
    let rest = 2 * hidden * queries + 3 * hidden * config.intermediate_size + tokens * queries;
    let whole_layers = (config.num_hidden_layers - 1) * tokens * (keys_and_values + rest);
    let last_layer = tokens * keys_and_values + predicting * rest;
    let head = predicting * config.vocab_size * hidden;
    2.0 * (whole_layers + last_layer + head) as f64
}

/// How many weights a Gemma's layers have, and its head, which is that of the embeddings.
pub(crate) fn gemma_weights(config: &GemmaConfig) -> [f64; 2] {
    let heads = 2 * (config.num_attention_heads + config.num_key_value_heads) * config.head_dim;
    let layer = config.hidden_size * (heads + 3 * config.intermediate_size);
    [
        config.num_hidden_layers * layer,
        config.vocab_size * config.hidden_size,
    ]
    .map(|count| count as f64)
}

/// Operations of a DeBERTa over a text; of the last layer nothing but the first token goes on.
pub(crate) fn classifier_flops(config: &DebertaConfig, tokens: usize) -> f64 {
    let hidden = config.hidden_size;
    let keys_and_values = 2 * hidden * hidden;
    // Queries and outputs; content to content, to position and back, and the weighted values.
    let rest = keys_and_values + 2 * hidden * config.intermediate_size + 6 * tokens * hidden;
    let whole_layers = (config.num_hidden_layers - 1) * tokens * (keys_and_values + rest);
    2.0 * (whole_layers + tokens * keys_and_values + rest) as f64
}

/// What a DeBERTa's layers take in f32.
pub(crate) fn classifier_bytes(config: &DebertaConfig) -> f64 {
    let layer = 4 * config.hidden_size * config.hidden_size
        + 2 * config.hidden_size * config.intermediate_size;
    4.0 * (config.num_hidden_layers * layer) as f64
}
