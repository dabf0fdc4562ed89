//! Checkpoints of decoders: `config.json`, as transformers 4 and 5 write it, and the weights.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config_json::{CONFIG, check_quantization, check_size, read_config};
use super::weights::{self, Part};
use super::{Checkpoint, Dtype, EmbeddingQuantization, Precision};
use crate::nn::layers::nf4;
use crate::nn::{Decoder, DecoderConfig, RopeType};
use crate::{Error, Result, files};

mod fields;
mod gemma;
mod llama;
mod names;

use fields::Fields;
pub(super) use names::{EMBEDDINGS, HEAD_TABLE, TOWERS, has_text_part, text_name};

/// Reads the text part of a `config.json`.
type Reader = fn(&Fields) -> Result<DecoderConfig>;
/// The model types that are read, and how.
const FAMILIES: [(&str, Reader); 12] = [
    ("gemma", gemma::read_gemma),
    ("gemma2", gemma::read_gemma2),
    ("gemma3", gemma::read_gemma3),
    ("gemma3_text", gemma::read_gemma3),
    ("gemma4", gemma::read_gemma4),
    ("gemma4_text", gemma::read_gemma4),
    ("gemma4_unified", gemma::read_gemma4_unified),
    ("gemma4_unified_text", gemma::read_gemma4_unified),
    ("llama", llama::read_llama),
    ("mistral", llama::read_mistral),
    ("qwen2", llama::read_qwen2),
    ("qwen3", llama::read_qwen3),
];

#[derive(Deserialize)]
struct EosJson {
    eos_token_id: Option<EosIds>,
    text_config: Option<Box<EosJson>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EosIds {
    One(i32),
    Many(Vec<i32>),
}

/// The ids at which a checkpoint ends its texts: those of `generation_config.json`, else those of `config.json`.
pub fn read_eos_token_ids(checkpoint: &Checkpoint) -> Result<Vec<i32>> {
    for name in ["generation_config.json", CONFIG] {
        let json: Option<EosJson> = checkpoint.read_json_if_any(name)?;
        let of_text = |json: EosJson| json.eos_token_id.or_else(|| json.text_config?.eos_token_id);
        match json.and_then(of_text) {
            Some(EosIds::One(id)) => return Ok(vec![id]),
            Some(EosIds::Many(ids)) => return Ok(ids),
            None => {}
        }
    }
    Ok(Vec::new())
}

/// The architecture that a checkpoint's `config.json` names.
pub fn model_type(checkpoint: &Checkpoint) -> Result<String> {
    let config = read_config(checkpoint, &FAMILIES.map(|(name, _)| name))?;
    Ok(config["model_type"]
        .as_str()
        .unwrap_or_default()
        .to_string())
}

/// How a checkpoint's makers advise to sample from it, in `generation_config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct GenerationDefaults {
    /// Whether to sample at all.
    #[serde(default)]
    pub do_sample: Option<bool>,
    /// 0 takes the likeliest token, 1 draws from the model's own distribution.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Draw from so many of the likeliest tokens only; 0 and less mean all.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Draw from the likeliest tokens whose probabilities reach this sum only.
    #[serde(default)]
    pub top_p: Option<f32>,
}

/// Reads how to sample from a checkpoint; `None` if its makers do not say to sample.
pub fn read_generation_defaults(checkpoint: &Checkpoint) -> Result<Option<GenerationDefaults>> {
    let json: Option<GenerationDefaults> = checkpoint.read_json_if_any("generation_config.json")?;
    Ok(json.filter(|json| json.do_sample == Some(true)))
}

/// Reads a decoder's `config.json`: of a model that also sees or hears, the part about text.
///
/// # Errors
///
/// A file of another architecture, and settings that change what is computed and are not supported, by name.
pub fn read_decoder_config(checkpoint: &Checkpoint) -> Result<DecoderConfig> {
    let path = checkpoint.path(CONFIG);
    let value = read_config(checkpoint, &FAMILIES.map(|(name, _)| name))?;
    if let Some(quantization) = value.get("quantization_config").filter(|q| !q.is_null()) {
        check_quantization(&path, quantization)?;
    }
    let family = value.get("model_type").and_then(Value::as_str);
    let reader = FAMILIES.iter().find(|(name, _)| Some(*name) == family);
    let Some((_, read)) = reader else {
        return Err(Error::invalid(path, "names no model_type that is read"));
    };
    let config = read(&Fields::of_text(&path, &value)?)?;
    config
        .check()
        .map_err(|error| Error::invalid(path, error.to_string()))?;
    Ok(config)
}

/// Writes the `config.json` of a Gemma 1 so that transformers 4 and 5 read it.
///
/// # Errors
///
/// A shape that a Gemma 1 cannot have.
pub fn write_gemma_config(folder: &Path, config: &DecoderConfig) -> Result<()> {
    let path = folder.join(CONFIG);
    let plain = DecoderConfig::new()
        .with_vocab_size(config.vocab_size)
        .with_hidden_size(config.hidden_size)
        .with_intermediate_size(config.intermediate_size)
        .with_num_hidden_layers(config.num_hidden_layers)
        .with_num_attention_heads(config.num_attention_heads)
        .with_num_key_value_heads(config.num_key_value_heads)
        .with_head_dim(config.head_dim)
        .with_rms_norm_eps(config.rms_norm_eps)
        .with_rope_parameters(config.rope_parameters)
        .with_max_position_embeddings(config.max_position_embeddings)
        .with_tie_word_embeddings(config.tie_word_embeddings)
        .with_initializer_range(config.initializer_range);
    if plain != *config || config.rope_parameters.rope_type != RopeType::Default {
        let reason = "cannot be written: the model has parts that a Gemma 1 has not";
        return Err(Error::invalid(path, reason));
    }
    let theta = config.rope_parameters.rope_theta;
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
        "rope_theta": theta,
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
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
    files::write_json(&path, &value)
}

/// A decoder from its files, with frozen weights.
///
/// Weights that are to be quantized are quantized while they are read, one at a time; a checkpoint in NF4 stays in NF4.
///
/// ```no_run
/// use apc::files::{self, Checkpoint, Precision};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let checkpoint = Checkpoint::folder("gemma-1.1-2b-it");
/// let gemma = files::load_decoder(&checkpoint, Precision::default().in_nf4(), &device)?;
/// # Ok::<(), apc::Error>(())
/// ```
///
/// # Errors
///
/// A `config.json` of another architecture or with settings that are not supported, every weight that is missing,
/// unexpected or of another shape, and a precision that the model cannot be kept in.
pub fn load_decoder(
    checkpoint: &Checkpoint,
    precision: Precision,
    device: &Device,
) -> Result<Decoder> {
    let config = read_decoder_config(checkpoint)?;
    check_decoder_size(checkpoint, &config)?;
    check_decoder_precision(&config, precision)?;
    let mut model = config.init(device);
    let unused = names::unused(&config);
    weights::load(
        &mut model,
        checkpoint,
        Part::Text(&unused),
        precision,
        device,
    )?;
    Ok(model)
}

/// Refuses what a model cannot be kept in: float16 for a Gemma 2, 3 or 4, whose activations grow beyond its range, and embeddings
/// in blocks that do not fit its rows.
pub fn check_decoder_precision(config: &DecoderConfig, precision: Precision) -> Result<()> {
    let hidden_size = config.hidden_size;
    if precision.embeddings_of(config.vocab_size) == EmbeddingQuantization::Nf4
        && !hidden_size.is_multiple_of(nf4::BLOCK_SIZE)
    {
        let reason = format!(
            "is nf4, but hidden_size {hidden_size} is no multiple of its blocks of {}; take int8",
            nf4::BLOCK_SIZE
        );
        return Err(Error::setting("quantize_embeddings", reason));
    }
    if precision.dtype == Dtype::Float16 && config.post_norms {
        let reason = "is float16, but activations of a Gemma 2, 3 or 4 are larger than its largest number, 65504; take bfloat16";
        return Err(Error::setting("dtype", reason));
    }
    Ok(())
}

/// Refuses a shape that is much larger than the weights that are there.
pub fn check_decoder_size(checkpoint: &Checkpoint, config: &DecoderConfig) -> Result<()> {
    check_size(checkpoint, config.size().total() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the embedded Gemma with these settings changed.
    fn with(changes: Value) -> std::result::Result<(), String> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/gemma");
        let mut config: Value = Checkpoint::folder(&from)
            .read_json(CONFIG)
            .expect("it is there");
        for (key, value) in changes.as_object().expect("settings") {
            config[key] = value.clone();
        }
        let folder = tempfile::tempdir().expect("a folder");
        files::write_json(&folder.path().join(CONFIG), &config).expect("it is written");
        let weights = "model.safetensors";
        std::fs::copy(from.join(weights), folder.path().join(weights)).expect("it is copied");
        let checkpoint = Checkpoint::folder(folder.path());
        let loaded = load_decoder(&checkpoint, Precision::default(), &Device::default());
        loaded.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_gemma_1_does_not_have_is_refused_by_name() {
        for (changes, told) in [
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 0.0}}),
                "factor is 0, but must be a finite number above 0",
            ),
            (
                json!({"rope_scaling": {"rope_type": "linear"}}),
                "in \"rope_scaling\": missing field `factor`",
            ),
            (
                json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
                "in \"rope_scaling\": \"type\" is \"dynamic\"",
            ),
            (
                json!({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn"}}),
                "yarn",
            ),
            (
                json!({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}),
                "full_attention",
            ),
            (
                json!({"rope_scaling": "dynamic"}),
                "\"rope_scaling\" is \"dynamic\", but must be an object",
            ),
            (
                json!({"rope_scaling": {"rope_type": 7}}),
                "\"rope_type\" is 7, but must be a name",
            ),
            (json!({"rms_norm_eps": -1.0}), "rms_norm_eps is -1"),
            (json!({"hidden_act": "silu"}), "\"hidden_act\" is \"silu\""),
            (json!({"hidden_activation": "gelu"}), "hidden_activation"),
            (json!({"attention_bias": true}), "attention_bias"),
            (
                json!({"final_logit_softcapping": 30.0}),
                "final_logit_softcapping",
            ),
            (json!({"sliding_window": 512}), "sliding_window"),
            (json!({"query_pre_attn_scalar": 7}), "query_pre_attn_scalar"),
        ] {
            let error = with(changes.clone()).expect_err(&changes.to_string());
            assert!(
                error.contains(told) && error.contains("config.json"),
                "{changes}: {error}"
            );
        }
        for same in [
            json!({"hidden_act": "gelu", "hidden_activation": null, "attention_bias": false}),
            json!({"rope_scaling": null, "sliding_window": null, "layer_types": []}),
            json!({"rope_scaling": {"rope_type": "default"}}),
        ] {
            assert_eq!(with(same.clone()), Ok(()), "{same}");
        }
    }

    #[test]
    fn a_config_of_a_model_far_larger_than_its_weights_takes_no_memory() {
        for key in [
            "num_hidden_layers",
            "vocab_size",
            "intermediate_size",
            "head_dim",
        ] {
            for size in [1_u64 << 40, u64::MAX - 1] {
                let error = with(json!({key: size})).expect_err("there is no such model");
                let told = match key {
                    "num_hidden_layers" => "at most 1024 are supported",
                    _ => "describes a model of",
                };
                assert!(
                    error.contains(told) || error.contains("must be a whole"),
                    "{key}: {error}"
                );
            }
        }
    }
}
