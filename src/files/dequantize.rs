//! A model written with dense weights.

use std::path::Path;

use burn::tensor::{DType, Device};
use serde_json::{Value, json};

use super::Checkpoint;
use super::config_json::{CONFIG, check_quantization, is_quantized};
use super::export::{Written, write_model};
use super::nf4;
use super::shards::Entry;
use super::tensors::{StoredTensor, open, weight_files};
use crate::progress::Job;
use crate::{Error, Result};

/// Writes a model whose weights are in a few bits, as compressed-tensors or bitsandbytes keep them, with weights in f32 to the
/// folder `output`; the rest is copied. Weights go through memory one at a time.
///
/// # Errors
///
/// A folder that holds a model already, and a model that is not quantized, whatever its config says; nothing is written then.
pub fn dequantize_model(
    base: &Checkpoint,
    output: &Path,
    max_shard_bytes: u64,
    job: &Job,
) -> Result<Written> {
    let mut config: Value = base.read_json(CONFIG)?;
    if !is_quantized(&config) {
        let reason = "is not quantized; use it as it is";
        return Err(Error::invalid(base.path(CONFIG), reason));
    }
    check_quantization(&base.path(CONFIG), &config["quantization_config"])?;
    let mut tensors = open(&weight_files(base)?)?;
    let in_nf4 = tensors.keys().filter(|name| nf4::is_packed(name, &tensors));
    let in_nf4: Vec<String> = in_nf4.cloned().collect();
    let mut nf4_weights = Vec::new();
    for name in in_nf4 {
        let shape =
            nf4::shape(&name, &tensors).map_err(|reason| Error::invalid(base.name(), reason))?;
        let packed = nf4::take(&name, shape, &mut tensors, DType::F32, &Device::default());
        let packed = packed.map_err(|reason| Error::invalid(base.name(), reason))?;
        nf4_weights.push((name, shape, packed));
    }
    if nf4_weights.is_empty() && !tensors.values().any(StoredTensor::is_packed) {
        let reason = "has a quantization_config, but the weights are dense already; remove \"quantization_config\" from this file and use the model as it is";
        return Err(Error::invalid(base.path(CONFIG), reason));
    }
    let n_tensors = nf4_weights.len() + tensors.len();
    let task = &job.progress.task("dequantize", n_tensors, "tensors");
    let mut changed = nf4_weights.len();
    let mut entries = Vec::with_capacity(n_tensors);
    for (name, shape, packed) in nf4_weights {
        entries.push(Entry {
            name,
            dtype: DType::F32,
            shape: shape.to_vec(),
            data: Box::new(move || {
                job.check()?;
                task.advance(1);
                Ok(packed.dequantize().into_data())
            }),
        });
    }
    for (name, tensor) in tensors {
        changed += usize::from(tensor.is_packed());
        // Numbers of positions and the like stay as they are.
        let dtype = match tensor.check_float() {
            Ok(()) => DType::F32,
            Err(_) => tensor.dtype,
        };
        entries.push(Entry {
            dtype,
            shape: tensor.shape.clone(),
            name,
            data: Box::new(move || {
                job.check()?;
                task.advance(1);
                // What is copied may be infinite, as limits of parts for sound are.
                let values = match tensor.is_packed() {
                    true => tensor.read_weight(dtype),
                    false => tensor.read_as(dtype),
                };
                values.map_err(|reason| Error::invalid(base.name(), reason))
            }),
        });
    }
    if let Some(config) = config.as_object_mut() {
        config.remove("quantization_config");
    }
    for key in ["dtype", "torch_dtype"] {
        config[key] = json!("float32");
    }
    let bytes = entries.iter().map(Entry::len).sum();
    let files = write_model(base, output, entries, max_shard_bytes, &config)?;
    Ok(Written {
        files,
        bytes,
        changed,
    })
}
