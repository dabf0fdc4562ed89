//! A decoder written in NF4.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use serde_json::{Value, json};

use super::config_json::{CONFIG, is_quantized, name_of};
use super::decoder::{TOWERS, check_decoder_size, text_name};
use super::export::{Written, write_model};
use super::nf4::{QuantState, STATE, floats, is_projection};
use super::shards::Entry;
use super::tensors::{open, read, weight_files};
use super::{Checkpoint, read_decoder_config};
use crate::nn::layers::nf4::{self, BLOCK_SIZE, CODE};
use crate::progress::Job;
use crate::{Error, Result};

/// Modules of the language model that stay dense: the head, and those of embeddings for each layer.
const DENSE: [&str; 4] = [
    "lm_head",
    "per_layer_input_gate",
    "per_layer_projection",
    "per_layer_model_projection",
];

/// Writes the decoder `base` to the folder `output` with its projections in NF4, in the layout that transformers loads
/// with bitsandbytes; the rest is copied. Weights go through memory one at a time.
///
/// # Errors
///
/// A folder that holds a model already, and a model that is quantized; nothing is written then.
pub fn quantize_model(
    base: &Checkpoint,
    output: &Path,
    max_shard_bytes: u64,
    job: &Job,
) -> Result<Written> {
    let shape = read_decoder_config(base)?;
    check_decoder_size(base, &shape)?;
    let mut config: Value = base.read_json(CONFIG)?;
    if is_quantized(&config) {
        return Err(Error::invalid(
            base.path(CONFIG),
            "is quantized already; use it as it is, or name the dense model",
        ));
    }
    let tensors = open(&weight_files(base)?)?;
    let task = job.progress.task("quantize", tensors.len(), "tensors");
    let task = &task;
    let mut entries = Vec::new();
    let mut changed = 0;
    let mut compute = "float32";
    for (name, tensor) in tensors {
        let shape = tensor.shape.clone();
        let is_quantized = text_name(&name).is_some_and(|name| is_projection(&name));
        if !is_quantized {
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
                base.name(),
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
        let state = serde_json::to_vec(&state)
            .map_err(|error| Error::invalid(base.name(), error.to_string()))?;
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
    // transformers 4 looks for these anywhere in a module's path, transformers 5 at its beginning and its end.
    let towers = TOWERS.map(|tower| format!("model.{tower}"));
    let dense: Vec<&str> = [&DENSE[..], &TOWERS].concat();
    let dense: Vec<&str> = dense
        .into_iter()
        .chain(towers.iter().map(String::as_str))
        .collect();
    config["quantization_config"] = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": false,
        "bnb_4bit_compute_dtype": compute,
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": dense,
    });
    let bytes = entries.iter().map(Entry::len).sum();
    let files = write_model(base, output, entries, max_shard_bytes, &config)?;
    Ok(Written {
        files,
        bytes,
        changed,
    })
}
