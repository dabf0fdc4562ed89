//! The settings of Llama, Mistral, Qwen2 and Qwen3.

use super::fields::Fields;
use crate::Result;
use crate::nn::config::MOST_LAYERS;
use crate::nn::{DecoderConfig, LayerType};

/// What all of them have.
fn read(fields: &Fields, head_dim: Option<usize>, theta: f64) -> Result<DecoderConfig> {
    let absent = [
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "query_pre_attn_scalar",
        "num_experts",
        "qk_norm",
    ];
    fields.check(&absent.map(|key| (key, &[][..])))?;
    let defaults = DecoderConfig::llama().with_rms_norm_eps(1e-6);
    Ok(fields
        .whole_shape(defaults, head_dim)?
        .with_hidden_act(fields.activation("hidden_act", &["silu"])?)
        .with_rope_parameters(fields.rope(theta)?))
}

/// Llama 2 and 3, and SmolLM2.
pub(super) fn read_llama(fields: &Fields) -> Result<DecoderConfig> {
    fields.check(&[("sliding_window", &[])])?;
    let bias = fields.flag("attention_bias")?.unwrap_or(false);
    let config = read(fields, None, 10_000.0)?;
    fields.check_no_windows(config.num_hidden_layers, "a Llama has no windows")?;
    Ok(config
        .with_qkv_bias(bias)
        .with_output_bias(bias)
        .with_mlp_bias(fields.flag("mlp_bias")?.unwrap_or(false)))
}

/// Mistral 7B and Nemo: with a window, every layer slides unless the file says which ones do, as that of a Ministral.
pub(super) fn read_mistral(fields: &Fields) -> Result<DecoderConfig> {
    fields.check(&[("attention_bias", &[]), ("mlp_bias", &[])])?;
    let config = read(fields, None, 10_000.0)?;
    let n_layers = config.num_hidden_layers;
    if fields.is_null("sliding_window") {
        fields.check_no_windows(n_layers, "sliding_window is null")?;
        return Ok(config);
    }
    let all = vec![LayerType::SlidingAttention; n_layers.min(MOST_LAYERS)];
    Ok(config
        .with_sliding_window(fields.size("sliding_window")?.unwrap_or(4096))
        .with_layer_types(fields.layer_types(n_layers)?.unwrap_or(all)))
}

/// Qwen2 and 2.5: biases of queries, keys and values.
pub(super) fn read_qwen2(fields: &Fields) -> Result<DecoderConfig> {
    fields.check(&[("attention_bias", &[]), ("mlp_bias", &[])])?;
    let config = read(fields, None, 10_000.0)?;
    windows(fields, config.with_qkv_bias(true))
}

/// Qwen3: norms of queries and keys.
pub(super) fn read_qwen3(fields: &Fields) -> Result<DecoderConfig> {
    fields.check(&[("mlp_bias", &[])])?;
    let bias = fields.flag("attention_bias")?.unwrap_or(false);
    let config = read(fields, Some(128), 10_000.0)?
        .with_qk_norm(true)
        .with_qkv_bias(bias)
        .with_output_bias(bias);
    windows(fields, config)
}

/// The windows of a Qwen: the layers from `max_window_layers` on slide, if it uses windows at all.
fn windows(fields: &Fields, config: DecoderConfig) -> Result<DecoderConfig> {
    let slides = fields.flag("use_sliding_window")?.unwrap_or(false);
    let window = match slides && !fields.is_null("sliding_window") {
        true => Some(fields.size("sliding_window")?.unwrap_or(4096)),
        false => None,
    };
    let first = fields.size("max_window_layers")?.unwrap_or(28);
    let layer_type = |layer_idx: usize| match window.is_some() && layer_idx >= first {
        true => LayerType::SlidingAttention,
        false => LayerType::FullAttention,
    };
    let n_layers = config.num_hidden_layers;
    let layer_types = match fields.layer_types(n_layers)? {
        // Without a window such layers see everything, too.
        Some(named) if window.is_some() => named,
        _ => (0..n_layers.min(MOST_LAYERS)).map(layer_type).collect(),
    };
    Ok(config
        .with_sliding_window(window.unwrap_or(4096))
        .with_layer_types(layer_types))
}
