//! Weights in NF4 as transformers keeps them with bitsandbytes.
//!
//! Beside `X.weight`, the codes, lie `X.weight.absmax`, `X.weight.quant_map` and the settings as the bytes of a JSON text
//! in `X.weight.quant_state.bitsandbytes__nf4`. In the nested form the scales are themselves in eight bits, with their own
//! scale for every 256 of them, their own map, and an offset.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::gemma::is_quantized;
use crate::files::merge::{Written, read, write_model};
use crate::files::shards::Entry;
use crate::files::weights::{StoredTensor, open, weight_files};
use crate::nn::layers::nf4::{self, BLOCK_SIZE, CODE, Nf4};
use crate::progress::Job;
use crate::{Error, Result, files};

/// Whether weights are kept as they are or in four bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantization {
    /// As they are; a checkpoint in NF4 stays in NF4.
    #[default]
    None,
    /// The projections in NF4; norms and embeddings as they are.
    Nf4,
}

const STATE: &str = "quant_state.bitsandbytes__nf4";

#[derive(Serialize, Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_blocksize: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_offset: Option<f32>,
}

/// Whether a weight of that name is quantized.
pub(crate) fn is_projection(name: &str) -> bool {
    name.ends_with("_proj.weight")
}

/// Whether the tensors hold a weight in NF4.
pub(crate) fn is_packed(name: &str, tensors: &BTreeMap<String, StoredTensor>) -> bool {
    tensors.contains_key(&format!("{name}.{STATE}"))
}

/// Takes a weight in NF4 of the shape `wanted` from the tensors of a checkpoint.
pub(crate) fn take(
    name: &str,
    wanted: [usize; 2],
    tensors: &mut BTreeMap<String, StoredTensor>,
    dtype: DType,
    device: &Device,
) -> std::result::Result<Nf4<2>, String> {
    let mut part = |part: &str| {
        let key = if part.is_empty() {
            name.to_string()
        } else {
            format!("{name}.{part}")
        };
        let tensor = tensors
            .remove(&key)
            .ok_or_else(|| format!("{key} is missing"))?;
        tensor.read()
    };
    let state = part(STATE)?;
    let state: QuantState = serde_json::from_slice(state.as_bytes())
        .map_err(|error| format!("{name}.{STATE} is not understood: {error}"))?;
    let codes = part("")?.as_bytes().to_vec();
    let code = floats(part("quant_map")?);
    let absmax = match (state.nested_blocksize, state.nested_offset) {
        (Some(block_size), Some(offset)) => {
            let bytes = part("absmax")?;
            let (scales, map) = (
                floats(part("nested_absmax")?),
                floats(part("nested_quant_map")?),
            );
            let of = |(idx, byte): (usize, &u8)| {
                Some(map.get(usize::from(*byte))? * scales.get(idx / block_size.max(1))? + offset)
            };
            let absmax: Option<Vec<f32>> = bytes.as_bytes().iter().enumerate().map(of).collect();
            absmax.ok_or_else(|| format!("{name} has too few nested scales"))?
        }
        _ => floats(part("absmax")?),
    };
    if state.shape != wanted {
        return Err(format!(
            "{name} has shape {:?}, not {wanted:?}",
            state.shape
        ));
    }
    let code: [f32; 16] = code
        .try_into()
        .map_err(|_| format!("{name}.quant_map has not sixteen values"))?;
    let n_values: usize = wanted.iter().product();
    let fits = state.blocksize > 0
        && state.blocksize.is_multiple_of(2)
        && codes.len() == n_values.div_ceil(2)
        && absmax.len() == n_values.div_ceil(state.blocksize);
    if state.quant_type != "nf4" || !fits {
        return Err(format!("{name} is no weight in NF4 of shape {wanted:?}"));
    }
    let stored = dtype_named(&state.dtype).ok_or_else(|| {
        format!(
            "{name} is quantized from {}, which is not known",
            state.dtype
        )
    })?;
    let weight = Nf4::new(codes, absmax, code, wanted, state.blocksize, dtype, device);
    Ok(weight.with_rounding(stored))
}

/// A tensor's values in f32.
pub(crate) fn floats(data: TensorData) -> Vec<f32> {
    data.iter::<f32>().collect()
}

fn dtype_named(name: &str) -> Option<DType> {
    match name {
        "float32" => Some(DType::F32),
        "bfloat16" => Some(DType::BF16),
        "float16" => Some(DType::F16),
        _ => None,
    }
}

/// What `config.json` calls a dtype of weights.
pub(crate) fn name_of(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F32 => Some("float32"),
        DType::BF16 => Some("bfloat16"),
        DType::F16 => Some("float16"),
        _ => None,
    }
}

/// Refuses a model that is quantized in another way than [`take`] reads.
pub(crate) fn check_quantization(path: &Path, config: &Value) -> Result<()> {
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or("none");
    let (method, kind) = (text("quant_method"), text("bnb_4bit_quant_type"));
    if method != "bitsandbytes" || kind != "nf4" || config.get("load_in_4bit") != Some(&json!(true))
    {
        let reason = format!(
            "quantization_config names {method} with type {kind}; only bitsandbytes in 4 bit with nf4 is supported"
        );
        return Err(Error::invalid(path, reason));
    }
    Ok(())
}

/// Writes the Gemma in `base` to the folder `output` with its projections in NF4, in the layout that transformers loads
/// with bitsandbytes; the rest is copied. Weights go through memory one at a time.
///
/// # Errors
///
/// A folder that holds a model already, and a model that is quantized; nothing is written then.
pub fn quantize_model(
    base: &Path,
    output: &Path,
    max_shard_bytes: u64,
    job: &Job,
) -> Result<Written> {
    crate::files::read_gemma_config(base)?;
    let config_path = base.join("config.json");
    let mut config: Value = files::read_json(&config_path)?;
    if is_quantized(&config) {
        return Err(Error::invalid(config_path, "is quantized already"));
    }
    let tensors = open(&weight_files(base)?)?;
    let task = job.progress.task("quantize", tensors.len(), "tensors");
    let task = &task;
    let mut entries = Vec::new();
    let mut changed = 0;
    let mut compute = "float32";
    for (name, tensor) in tensors {
        let shape = tensor.shape.clone();
        if !is_projection(&name) {
            entries.push(Entry {
                dtype: tensor.dtype,
                shape,
                name,
                data: Box::new(move || {
                    job.check()?;
                    task.advance(1);
                    read(base, &tensor)
                }),
            });
            continue;
        }
        changed += 1;
        let n_values: usize = shape.iter().product();
        compute = name_of(tensor.dtype).ok_or_else(|| {
            Error::invalid(
                base,
                format!("{name} is {:?}, which cannot be quantized", tensor.dtype),
            )
        })?;
        let state = QuantState {
            quant_type: "nf4".to_string(),
            blocksize: BLOCK_SIZE,
            dtype: compute.to_string(),
            shape,
            nested_blocksize: None,
            nested_offset: None,
        };
        let state =
            serde_json::to_vec(&state).map_err(|error| Error::invalid(base, error.to_string()))?;
        let again = tensor.clone();
        entries.push(Entry {
            name: format!("{name}.absmax"),
            dtype: DType::F32,
            shape: vec![n_values.div_ceil(BLOCK_SIZE)],
            data: Box::new(move || {
                let scales = nf4::absmax(&floats(read(base, &again)?), BLOCK_SIZE);
                let n_scales = scales.len();
                Ok(TensorData::new(scales, [n_scales]))
            }),
        });
        entries.push(Entry::new(
            format!("{name}.quant_map"),
            TensorData::from(CODE),
        ));
        let n_bytes = state.len();
        entries.push(Entry::new(
            format!("{name}.{STATE}"),
            TensorData::new(state, [n_bytes]),
        ));
        entries.push(Entry {
            name,
            dtype: DType::U8,
            shape: vec![n_values.div_ceil(2), 1],
            data: Box::new(move || {
                job.check()?;
                task.advance(1);
                let codes = nf4::quantize(&floats(read(base, &tensor)?), BLOCK_SIZE);
                let n_codes = codes.len();
                Ok(TensorData::new(codes, [n_codes, 1]))
            }),
        });
    }
    config["quantization_config"] = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": false,
        "bnb_4bit_compute_dtype": compute,
        "bnb_4bit_quant_storage": "uint8",
    });
    let bytes = entries.iter().map(Entry::len).sum();
    let files = write_model(base, output, entries, max_shard_bytes, &config)?;
    Ok(Written {
        files,
        bytes,
        changed,
    })
}
