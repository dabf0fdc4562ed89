//! Safetensors files, written one tensor at a time.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;

use crate::{Error, Result, files};

/// A tensor to be written, whose values are made when its turn comes.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Box<dyn FnOnce() -> Result<TensorData> + 'a>,
}

impl<'a> Entry<'a> {
    /// A tensor that is at hand.
    pub(crate) fn new(name: impl Into<String>, data: TensorData) -> Self {
        Self {
            name: name.into(),
            dtype: data.dtype(),
            shape: data.shape().to_vec(),
            data: Box::new(move || Ok(data)),
        }
    }

    /// Bytes that it takes.
    pub(crate) fn len(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.size()) as u64
    }
}

/// Writes tensors to one safetensors file, whole or not at all.
pub(crate) fn write_file(path: &Path, mut entries: Vec<Entry<'_>>) -> Result<()> {
    // As the format's own writer does, so that every tensor is aligned.
    entries.sort_by(|a, b| {
        let widest_first = b.dtype.size().cmp(&a.dtype.size());
        widest_first.then_with(|| a.name.cmp(&b.name))
    });
    let mut end = 0;
    let mut infos = Vec::with_capacity(entries.len());
    for entry in &entries {
        let start = end;
        end += entry.len() as usize;
        let info = TensorInfo {
            dtype: dtype_of(path, entry.dtype)?,
            shape: entry.shape.clone(),
            data_offsets: (start, end),
        };
        infos.push((entry.name.clone(), info));
    }
    // transformers refuses a file that does not say that it was made for PyTorch.
    let made_for = HashMap::from([("format".to_string(), "pt".to_string())]);
    let metadata = Metadata::new(Some(made_for), infos)
        .map_err(|error| Error::invalid(path, error.to_string()))?;
    let mut header =
        serde_json::to_vec(&metadata).map_err(|error| Error::invalid(path, error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    files::write_by(path, |file| {
        let mut file = BufWriter::new(file);
        let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
        put(&(header.len() as u64).to_le_bytes())?;
        put(&header)?;
        for entry in entries {
            let wanted = entry.len();
            let data = (entry.data)()?;
            let bytes = data.as_bytes();
            if bytes.len() as u64 != wanted {
                let reason = format!("{} has {} bytes, not {wanted}", entry.name, bytes.len());
                return Err(Error::invalid(path, reason));
            }
            put(bytes)?;
        }
        file.flush().map_err(Error::io("write", path))
    })
}

/// Writes tensors to `model.safetensors`, or where they take more than `max_bytes` to shards with an index; returns how
/// many files hold them. What belongs to one weight, such as its codes and their scales, is in one file, which holds more
/// only where that does.
pub(crate) fn write_shards(
    folder: &Path,
    entries: Vec<Entry<'_>>,
    max_bytes: u64,
) -> Result<usize> {
    let total: u64 = entries.iter().map(Entry::len).sum();
    let weight_of = |entry: &Entry<'_>| {
        let (module, _) = entry
            .name
            .split_once(".weight")
            .unwrap_or((&entry.name, ""));
        module.to_string()
    };
    let mut weights: Vec<(String, Vec<Entry<'_>>)> = Vec::new();
    for entry in entries {
        let weight = weight_of(&entry);
        match weights.last_mut() {
            Some((last, parts)) if *last == weight => parts.push(entry),
            _ => weights.push((weight, vec![entry])),
        }
    }
    let mut shards: Vec<Vec<Entry<'_>>> = Vec::new();
    let mut room = 0;
    for (_, parts) in weights {
        let len = parts.iter().map(Entry::len).sum();
        match shards.last_mut() {
            Some(shard) if len <= room => {
                room -= len;
                shard.extend(parts);
            }
            _ => {
                room = max_bytes.saturating_sub(len);
                shards.push(parts);
            }
        }
    }
    let n_shards = shards.len();
    if n_shards <= 1 {
        let entries = shards.pop().unwrap_or_default();
        return write_file(&folder.join("model.safetensors"), entries).map(|()| 1);
    }
    let mut weight_map = BTreeMap::new();
    for (shard_idx, shard) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{n_shards:05}.safetensors", shard_idx + 1);
        for entry in &shard {
            weight_map.insert(entry.name.clone(), name.clone());
        }
        write_file(&folder.join(&name), shard)?;
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    files::write_json(&folder.join("model.safetensors.index.json"), &index)?;
    Ok(n_shards)
}

fn dtype_of(path: &Path, dtype: DType) -> Result<Dtype> {
    Ok(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::U8 => Dtype::U8,
        other => {
            let reason = format!("tensors of {other:?} cannot be written");
            return Err(Error::invalid(path, reason));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_belongs_to_a_weight_is_in_one_file() {
        let entry =
            |name: &str, len: usize| Entry::new(name, TensorData::new(vec![0_u8; len], [len]));
        let entries = ["a", "b"].into_iter().flat_map(|module| {
            let parts = [
                ("absmax", 10),
                ("quant_map", 5),
                ("quant_state.bitsandbytes__nf4", 5),
            ];
            let parts = parts.map(|(part, len)| entry(&format!("{module}.weight.{part}"), len));
            parts
                .into_iter()
                .chain([entry(&format!("{module}.weight"), 80)])
        });
        let entries = entries.chain([entry("norm.weight", 60)]).collect();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write_shards(folder.path(), entries, 165).unwrap(), 2);
        let index: Value =
            files::read_json(&folder.path().join("model.safetensors.index.json")).unwrap();
        let file = |name: &str| index["weight_map"][name].as_str().unwrap().to_string();
        for module in ["a", "b"] {
            let of_module = format!("{module}.weight");
            for part in ["absmax", "quant_map", "quant_state.bitsandbytes__nf4"] {
                assert_eq!(file(&format!("{of_module}.{part}")), file(&of_module));
            }
        }
        assert_eq!(file("b.weight"), file("norm.weight"));
        assert_ne!(file("a.weight"), file("b.weight"));
    }
}
