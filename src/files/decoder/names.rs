//! The names of weights in files of models that also see or hear.

use serde_json::Value;

use crate::Result;
use crate::files::Checkpoint;
use crate::files::config_json::CONFIG;
use crate::nn::DecoderConfig;
use crate::nn::decoder::config::KeysAndValues;

/// What stands in front of the text model's weights: as transformers has saved them since 4.52, and as they were first published.
const PREFIXES: [&str; 2] = ["model.language_model.", "language_model.model."];
const HEADS: [&str; 2] = ["language_model.lm_head.", "lm_head."];
/// The tables of a text model: its embeddings, and its head where that is another one.
pub(crate) const EMBEDDINGS: &str = "model.embed_tokens.weight";
pub(crate) const HEAD_TABLE: &str = "lm_head.weight";
/// Parts for images and sound.
pub(crate) const TOWERS: [&str; 6] = [
    "vision_tower",
    "audio_tower",
    "multi_modal_projector",
    "embed_vision",
    "embed_audio",
    "vision_embedder",
];

/// Whether a checkpoint is a model that also sees or hears, of which the text model is a part.
pub(crate) fn has_text_part(checkpoint: &Checkpoint) -> Result<bool> {
    let config: Option<Value> = checkpoint.read_json_if_any(CONFIG)?;
    Ok(config.is_some_and(|config| config["text_config"].is_object()))
}

/// The name in the text model of a weight of a model that also sees or hears; `None` for parts for images and sound.
pub(crate) fn text_name(name: &str) -> Option<String> {
    let first = name
        .strip_prefix("model.")
        .unwrap_or(name)
        .split('.')
        .next();
    if first.is_some_and(|part| TOWERS.contains(&part)) {
        return None;
    }
    let own = |prefixes: &[&str], front: &str| {
        let rest = prefixes
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))?;
        Some(format!("{front}{rest}"))
    };
    let found = own(&PREFIXES, "model.").or_else(|| own(&HEADS, "lm_head."));
    Some(found.unwrap_or_else(|| name.to_string()))
}

/// The beginnings of the names of weights that files may hold and the model does not use: keys and values of layers that
/// take those of another layer, or values of layers that take their keys for them.
pub(super) fn unused(config: &DecoderConfig) -> Vec<String> {
    let parts = |layer_idx| -> &[&str] {
        match config.layer(layer_idx).keys_and_values {
            KeysAndValues::Own => &[],
            KeysAndValues::OneProjection => &["v_proj"],
            KeysAndValues::Shared => &["k_proj", "v_proj", "k_norm", "v_norm"],
        }
    };
    let layers = 0..config.num_hidden_layers;
    layers
        .flat_map(|layer_idx| {
            let name = move |part: &&str| format!("model.layers.{layer_idx}.self_attn.{part}.");
            parts(layer_idx).iter().map(name).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_text_part_have_the_names_of_a_text_model_in_each_layout() {
        for (name, expected) in [
            (
                "model.layers.0.mlp.up_proj.weight",
                Some("model.layers.0.mlp.up_proj.weight"),
            ),
            (
                "language_model.model.norm.weight",
                Some("model.norm.weight"),
            ),
            (
                "model.language_model.norm.weight",
                Some("model.norm.weight"),
            ),
            ("language_model.lm_head.weight", Some("lm_head.weight")),
            ("lm_head.weight", Some("lm_head.weight")),
            ("model.vision_tower.encoder.weight", None),
            ("multi_modal_projector.mm_input_projection_weight", None),
        ] {
            assert_eq!(text_name(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn layers_that_share_keys_may_bring_their_own_along() {
        let unused = unused(&DecoderConfig::gemma_4_e2b());
        assert_eq!(unused.len(), 20 * 4);
        assert_eq!(unused[0], "model.layers.15.self_attn.k_proj.");
        let unused = super::unused(&DecoderConfig::gemma_4_12b());
        assert_eq!(unused[0], "model.layers.5.self_attn.v_proj.");
    }
}
