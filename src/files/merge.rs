//! An adapter multiplied into the weights of its model.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Serialize;
use serde_json::Value;

use crate::files::gemma::{is_quantized, read_gemma_config};
use crate::files::nf4::name_of;
use crate::files::peft::{load_adapter, module_path};
use crate::files::shards::{Entry, write_shards};
use crate::files::weights::{StoredTensor, open, weight_files};
use crate::nn::Lora;
use crate::progress::Job;
use crate::{Error, Result, files};

/// What a model's folder has beside its weights and `config.json`.
const COMPANIONS: [&str; 8] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "spm.model",
];

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Safetensors files.
    pub files: usize,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Weights that were changed.
    pub changed: usize,
}

/// Writes the Gemma in `base` with the adapter's factors multiplied into its weights to the folder `output`, as plain
/// safetensors of at most `max_shard_bytes` each: `W + scaling · B·A`, computed in f32.
///
/// The weights are in `dtype`, or without one in their own, and go through memory one at a time.
///
/// # Errors
///
/// A folder that holds a model already, and an adapter that does not fit the model; nothing is written then.
pub fn merge_adapter(
    base: &Path,
    adapter: &Path,
    output: &Path,
    dtype: Option<DType>,
    max_shard_bytes: u64,
    device: &Device,
    job: &Job,
) -> Result<Written> {
    let mut model = read_gemma_config(base)?.init(device);
    let config_path = base.join("config.json");
    let mut config: Value = files::read_json(&config_path)?;
    if is_quantized(&config) {
        let reason = "is quantized; merge the adapter into the dense model";
        return Err(Error::invalid(config_path, reason));
    }
    if let Some(name) = dtype.and_then(name_of) {
        // transformers 4 and 5 call it differently.
        for key in ["dtype", "torch_dtype"] {
            config[key] = name.into();
        }
    }
    load_adapter(&mut model, adapter, device)?;
    let mut factors: HashMap<String, Lora> = HashMap::new();
    for (layer_idx, projection, linear) in model.projections() {
        if let Some(lora) = linear.lora() {
            let name = format!("{}.weight", module_path(layer_idx, projection));
            factors.insert(name, lora.clone());
        }
    }
    let tensors = open(&weight_files(base)?)?;
    for (name, lora) in &factors {
        let Some(weight) = tensors.get(name) else {
            return Err(Error::invalid(base, format!("{name} is missing")));
        };
        let wanted = [lora.lora_b.lazy_shape()[0], lora.lora_a.lazy_shape()[1]];
        if weight.shape != wanted {
            let reason = format!("{name} has shape {:?}, not {wanted:?}", weight.shape);
            return Err(Error::invalid(base, reason));
        }
    }
    let changed = factors.len();
    let task = job.progress.task("merge", tensors.len(), "tensors");
    let task = &task;
    let entries: Vec<Entry<'_>> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let dtype = dtype.unwrap_or(tensor.dtype);
            let lora = factors.remove(&name);
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

/// The values of a tensor of the folder.
pub(crate) fn read(folder: &Path, tensor: &StoredTensor) -> Result<TensorData> {
    tensor
        .read()
        .map_err(|problem| Error::invalid(folder, problem))
}

fn merged(weight: TensorData, lora: &Lora, device: &Device) -> TensorData {
    let weight = Tensor::<2>::from_data(weight.convert_dtype(DType::F32), (device, DType::F32));
    lora.merged(weight).into_data()
}

/// Writes weights, what else the folder `base` has, and `config.json` to the folder `output`.
pub(crate) fn write_model(
    base: &Path,
    output: &Path,
    entries: Vec<Entry<'_>>,
    max_shard_bytes: u64,
    config: &Value,
) -> Result<usize> {
    if output.join("config.json").exists() {
        let reason = "holds a model already; name another folder";
        return Err(Error::invalid(output, reason));
    }
    let n_files = write_shards(output, entries, max_shard_bytes)?;
    for name in COMPANIONS {
        let path = base.join(name);
        if path.is_file() {
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            files::write(&output.join(name), &bytes)?;
        }
    }
    // Last: a folder that has it is whole.
    files::write_json(&output.join("config.json"), config)?;
    Ok(n_files)
}
