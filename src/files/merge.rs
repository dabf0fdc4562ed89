//! An adapter multiplied into the weights of its model.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::Value;

use super::config_json::{CONFIG, is_quantized, name_of};
use super::decoder::{EMBEDDINGS, HEAD_TABLE, check_decoder_size, text_name};
use super::export::{Written, write_model};
use super::peft::load_adapter_with;
use super::shards::Entry;
use super::tensors::{StoredTensor, open, read, weight_files};
use super::{Checkpoint, read_decoder_config};
use crate::nn::Lora;
use crate::progress::Job;
use crate::{Error, Result};

/// Writes the decoder `base` with the adapter's factors multiplied into its weights to the folder `output`, as plain
/// safetensors of at most `max_shard_bytes` each: `W + scaling · B·A`, computed in f32.
///
/// The weights are in `dtype`, or without one in their own, and go through memory one at a time.
///
/// # Errors
///
/// A folder that holds a model already, and an adapter that does not fit the model; nothing is written then.
pub fn merge_adapter(
    base: &Checkpoint,
    adapter: &Path,
    output: &Path,
    dtype: Option<DType>,
    max_shard_bytes: u64,
    device: &Device,
    job: &Job,
) -> Result<Written> {
    let shape = read_decoder_config(base)?;
    check_decoder_size(base, &shape)?;
    let mut model = shape.init(device);
    let mut config: Value = base.read_json(CONFIG)?;
    if is_quantized(&config) {
        let reason = "is quantized; merge the adapter into the dense model";
        return Err(Error::invalid(base.path(CONFIG), reason));
    }
    if let Some(name) = dtype.and_then(name_of) {
        // transformers 4 and 5 call it differently.
        for key in ["dtype", "torch_dtype"] {
            config[key] = name.into();
        }
    }
    let stored = open(&weight_files(base)?)?;
    // The text model's weights, by their names there.
    let own: HashMap<String, &StoredTensor> = stored
        .iter()
        .filter_map(|(name, tensor)| Some((text_name(name)?, tensor)))
        .collect();
    let mut read_own = |name: &str| {
        let head = own.get(name).or_else(|| match name {
            HEAD_TABLE => own.get(EMBEDDINGS),
            _ => None,
        });
        head.and_then(|tensor| tensor.read_as(DType::F32).ok())
    };
    load_adapter_with(&mut model, adapter, &mut read_own, device)?;
    let mut factors: HashMap<String, Lora> = HashMap::new();
    for (layer_idx, projection, linear) in model.projections() {
        if let Some(lora) = linear.lora() {
            let (part, name) = (projection.part(), projection.name());
            let name = format!("model.layers.{layer_idx}.{part}.{name}.weight");
            factors.insert(name, lora.clone());
        }
    }
    for (name, lora) in &factors {
        let Some(weight) = own.get(name) else {
            return Err(Error::invalid(
                base.name(),
                format!("{name} is missing; download or copy the checkpoint again"),
            ));
        };
        let wanted = [lora.lora_b.lazy_shape()[0], lora.lora_a.lazy_shape()[1]];
        if weight.shape != wanted {
            let reason = format!("{name} has shape {:?}, not {wanted:?}", weight.shape);
            return Err(Error::invalid(base.name(), reason));
        }
    }
    let changed = factors.len();
    let task = job.progress.task("merge", stored.len(), "tensors");
    let task = &task;
    let entries: Vec<Entry<'_>> = stored
        .into_iter()
        .map(|(name, tensor)| {
            let dtype = dtype.unwrap_or(tensor.dtype);
            let lora = text_name(&name).and_then(|name| factors.remove(&name));
            Entry {
                shape: tensor.shape.clone(),
                name,
                dtype,
                data: Box::new(move || {
                    job.check()?;
                    let data = read(base, &tensor)?;
                    let data = match lora {
                        Some(lora) => merged(data, &lora, device),
                        None => data,
                    };
                    task.advance(1);
                    Ok(data.convert_dtype(dtype))
                }),
            }
        })
        .collect();
    let bytes = entries.iter().map(Entry::len).sum();
    let files = write_model(base, output, entries, max_shard_bytes, &config)?;
    Ok(Written {
        files,
        bytes,
        changed,
    })
}

fn merged(weight: TensorData, lora: &Lora, device: &Device) -> TensorData {
    let weight = Tensor::<2>::from_data(weight.convert_dtype(DType::F32), (device, DType::F32));
    lora.merged(weight).into_data()
}
