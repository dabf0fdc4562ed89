//! The settings of Gemma 1 to 4.

use serde_json::{Value, json};

use super::fields::Fields;
use crate::Result;
use crate::nn::config::MOST_LAYERS;
use crate::nn::decoder::presets::sliding_but_every;
use crate::nn::{DecoderConfig, LayerType, RopeParameters};

const ACT: &str = "hidden_activation";
const TANH_GELU: [&str; 2] = ["gelu_pytorch_tanh", "gelu_new"];

/// Refuses what no Gemma here has, and `others`.
fn check_absent(fields: &Fields, others: &[&str]) -> Result<()> {
    let absent = ["attention_bias", "mlp_bias", "qk_norm", "num_experts"];
    let absent = absent.iter().chain(others).map(|key| (*key, &[][..]));
    fields.check(&absent.collect::<Vec<_>>())
}

/// Gemma 1 and 1.1.
pub(super) fn read_gemma(fields: &Fields) -> Result<DecoderConfig> {
    check_absent(
        fields,
        &[
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "sliding_window",
            "use_bidirectional_attention",
        ],
    )?;
    let act = fields.activation(ACT, &TANH_GELU)?;
    fields.activation("hidden_act", &[TANH_GELU[0], TANH_GELU[1], "gelu"])?;
    let config = fields.whole_shape(DecoderConfig::new(), Some(256))?;
    let heads = json!(config.head_dim);
    fields.check(&[("query_pre_attn_scalar", &[heads])])?;
    fields.check_no_windows(config.num_hidden_layers, "a Gemma 1 has no windows")?;
    Ok(config
        .with_hidden_act(act)
        .with_rope_parameters(fields.rope(10_000.0)?))
}

/// Gemma 2: soft caps, norms behind each part, and every second layer slides.
pub(super) fn read_gemma2(fields: &Fields) -> Result<DecoderConfig> {
    check_absent(fields, &["use_bidirectional_attention"])?;
    let config = fields.whole_shape(DecoderConfig::gemma_2(), Some(256))?;
    let n_layers = config.num_hidden_layers;
    let alternating = sliding_but_every(2, n_layers.min(MOST_LAYERS));
    Ok(config
        .with_hidden_act(fields.activation(ACT, &TANH_GELU)?)
        .with_rope_parameters(fields.rope(10_000.0)?)
        .with_query_pre_attn_scalar(Some(fields.number(SCALAR)?.unwrap_or(256.0)))
        .with_attn_logit_softcapping(cap(fields, "attn_logit_softcapping", 50.0)?)
        .with_final_logit_softcapping(cap(fields, "final_logit_softcapping", 30.0)?)
        .with_sliding_window(fields.size("sliding_window")?.unwrap_or(4096))
        .with_layer_types(fields.layer_types(n_layers)?.unwrap_or(alternating)))
}

const SCALAR: &str = "query_pre_attn_scalar";

/// A soft cap that is there unless the file says null.
fn cap(fields: &Fields, key: &'static str, default: f64) -> Result<Option<f64>> {
    Ok(match fields.is_null(key) {
        true => None,
        false => Some(fields.number(key)?.unwrap_or(default)),
    })
}

/// Gemma 3: norms of queries and keys, two kinds of angles, and all layers but every sixth slide.
pub(super) fn read_gemma3(fields: &Fields) -> Result<DecoderConfig> {
    check_absent(
        fields,
        &["use_bidirectional_attention", "attn_logit_softcapping"],
    )?;
    let defaults = DecoderConfig {
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 26,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        ..DecoderConfig::gemma_3()
    };
    let config = fields.shape(defaults)?;
    let every = match fields.size("sliding_window_pattern")? {
        Some(every) => Some(every),
        None => fields.size("_sliding_window_pattern")?,
    };
    let every = every.unwrap_or(6).max(1);
    let n_layers = config.num_hidden_layers;
    let pattern = sliding_but_every(every, n_layers.min(MOST_LAYERS));
    let [full, sliding] = fields.ropes(RopeParameters::new(1e6), RopeParameters::new(1e4))?;
    Ok(config
        .with_hidden_act(fields.activation(ACT, &TANH_GELU)?)
        .with_rope_parameters(full)
        .with_sliding_rope_parameters(Some(sliding))
        .with_query_pre_attn_scalar(Some(fields.number(SCALAR)?.unwrap_or(256.0)))
        .with_final_logit_softcapping(fields.number("final_logit_softcapping")?)
        .with_sliding_window(fields.size("sliding_window")?.unwrap_or(4096))
        .with_layer_types(fields.layer_types(n_layers)?.unwrap_or(pattern)))
}

/// Gemma 4 as E2B, E4B and 31B have it.
pub(super) fn read_gemma4(fields: &Fields) -> Result<DecoderConfig> {
    let sizes = DecoderConfig::gemma_4()
        .with_sliding_window(512)
        .with_hidden_size_per_layer_input(256);
    let config = gemma4(fields, sizes)?;
    let own = "hidden_size_per_layer_input";
    let own = if fields.is_null(own) {
        0
    } else {
        fields.size(own)?.unwrap_or(256)
    };
    let rows = fields.size("vocab_size_per_layer_input")?;
    Ok(config
        .with_hidden_size_per_layer_input(own)
        .with_vocab_size_per_layer_input(rows.unwrap_or(262_144)))
}

/// Gemma 4 as the 12B has it, which has no embeddings for each layer.
pub(super) fn read_gemma4_unified(fields: &Fields) -> Result<DecoderConfig> {
    fields.check(&[("hidden_size_per_layer_input", &[json!(0)])])?;
    let sizes = DecoderConfig::gemma_4()
        .with_sliding_window(1024)
        .with_max_position_embeddings(262_144);
    gemma4(fields, sizes)
}

fn gemma4(fields: &Fields, defaults: DecoderConfig) -> Result<DecoderConfig> {
    check_absent(fields, &[])?;
    // Images see each other both ways; text does not.
    fields.check(&[("use_bidirectional_attention", &[Value::from("vision")])])?;
    let window = defaults.sliding_window;
    let defaults = DecoderConfig {
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 30,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        ..defaults
    };
    let [full, sliding] = [
        defaults.rope_parameters,
        defaults
            .sliding_rope_parameters
            .unwrap_or(defaults.rope_parameters),
    ];
    let config = fields.shape(defaults)?;
    let n_layers = config.num_hidden_layers;
    let pattern = sliding_but_every(6, n_layers.min(MOST_LAYERS));
    let mut layer_types = fields.layer_types(n_layers)?.unwrap_or(pattern);
    // transformers makes the last layer see everything whatever the file says.
    if let Some(last) = layer_types.last_mut() {
        *last = LayerType::FullAttention;
    }
    let one_projection = fields.flag("attention_k_eq_v")?.unwrap_or(false);
    let [global_head_dim, global_kv_heads] = match fields.global_layers(&layer_types)? {
        Some(changed) => changed,
        None => {
            let head_dim = fields.size("global_head_dim")?.unwrap_or(512);
            let kv_heads = fields.size("num_global_key_value_heads")?;
            [Some(head_dim), kv_heads.filter(|_| one_projection)]
        }
    };
    let [full, sliding] = fields.ropes(full, sliding)?;
    Ok(config
        .with_hidden_act(fields.activation(ACT, &TANH_GELU)?)
        .with_rope_parameters(full)
        .with_sliding_rope_parameters(Some(sliding))
        .with_final_logit_softcapping(fields.number("final_logit_softcapping")?)
        .with_sliding_window(fields.size("sliding_window")?.unwrap_or(window))
        .with_layer_types(layer_types)
        .with_global_head_dim(global_head_dim)
        .with_num_global_key_value_heads(global_kv_heads)
        .with_attention_k_eq_v(one_projection)
        .with_num_kv_shared_layers(fields.size("num_kv_shared_layers")?.unwrap_or(0))
        .with_use_double_wide_mlp(fields.flag("use_double_wide_mlp")?.unwrap_or(false)))
}
