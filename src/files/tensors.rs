//! Tensors in safetensors files, or where there are none in PyTorch's: one file, or shards with an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge, burn_pack};
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::Checkpoint;
use crate::{Error, Result};

/// Where a file of tensors is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// On disk.
    File(PathBuf),
    /// Inside the program, under a path that names it in messages.
    Bytes(PathBuf, &'static [u8]),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Bytes(path, _) => path,
        }
    }
}

/// A tensor in a file, whose values are not read yet.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor {
    name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    File(PathBuf),
    Bytes(&'static [u8]),
}

impl StoredTensor {
    /// Copies the values.
    ///
    /// A file is mapped into memory no longer than that takes, so that its pages do not count as this process's memory.
    pub(super) fn read(&self) -> std::result::Result<TensorData, String> {
        let failed = |error: &str| format!("{} cannot be read: {error}", self.name);
        match &self.values {
            Values::File(path) => {
                let tensor = tensors_in(path)
                    .map_err(|error| failed(&error))?
                    .remove(&self.name)
                    .ok_or_else(|| failed("it is gone"))?;
                bridge::into_data(tensor).map_err(|error| failed(&error.to_string()))
            }
            Values::Bytes(bytes) => Ok(TensorData::from_bytes_vec(
                bytes.to_vec(),
                self.shape.clone(),
                self.dtype,
            )),
        }
    }
}

fn is_pytorch(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "bin")
}

/// The tensors of a file, whose values are read when they are asked for.
fn tensors_in(path: &Path) -> std::result::Result<BTreeMap<String, burn_pack::Tensor>, String> {
    fn all<S: ModuleStore>(
        mut store: S,
    ) -> std::result::Result<BTreeMap<String, burn_pack::Tensor>, String>
    where
        S::Error: std::fmt::Display,
    {
        let found = store.get_all_tensors().map_err(|error| error.to_string())?;
        Ok(found.clone())
    }
    if is_pytorch(path) {
        all(PytorchStore::from_file(path).map_indices_contiguous(false))
    } else {
        all(SafetensorsStore::from_file(path))
    }
}

/// The headers of a source.
fn stored(source: &Source) -> std::result::Result<Vec<StoredTensor>, String> {
    match source {
        Source::File(path) => {
            let found = tensors_in(path)?;
            let stored = found.iter().map(|(name, tensor)| StoredTensor {
                name: name.clone(),
                shape: tensor.shape.to_vec(),
                dtype: tensor.dtype,
                values: Values::File(path.clone()),
            });
            Ok(stored.collect())
        }
        Source::Bytes(_, bytes) => {
            let found = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
            let stored = found.iter().map(|(name, view)| {
                let dtype = match view.dtype() {
                    Dtype::F32 => DType::F32,
                    Dtype::BF16 => DType::BF16,
                    Dtype::F16 => DType::F16,
                    other => return Err(format!("{name} is {other:?}")),
                };
                Ok(StoredTensor {
                    name: name.to_string(),
                    shape: view.shape().to_vec(),
                    dtype,
                    values: Values::Bytes(view.data()),
                })
            });
            stored.collect()
        }
    }
}

/// The tensors of some files by name.
pub(super) fn open(sources: &[Source]) -> Result<BTreeMap<String, StoredTensor>> {
    let mut tensors = BTreeMap::new();
    for source in sources {
        let found = stored(source).map_err(|error| {
            let kind = if is_pytorch(source.path()) {
                "a PyTorch checkpoint"
            } else {
                "safetensors"
            };
            let reason = format!("cannot be read as {kind}: {error}; copy or download it again");
            Error::invalid(source.path(), reason)
        })?;
        let by_name = found
            .into_iter()
            .map(|tensor| (tensor.name.clone(), tensor));
        tensors.extend(by_name);
    }
    Ok(tensors)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// A checkpoint's one file of weights, or the shards that its index names; safetensors if it has them.
pub(super) fn weight_files(checkpoint: &Checkpoint) -> Result<Vec<Source>> {
    let source = |name: &str| match checkpoint.embedded_bytes(name) {
        Some(bytes) => Source::Bytes(checkpoint.path(name), bytes),
        None => Source::File(checkpoint.path(name)),
    };
    for name in ["model.safetensors", "pytorch_model.bin"] {
        if checkpoint.has(name) {
            return Ok(vec![source(name)]);
        }
        let index = format!("{name}.index.json");
        if !checkpoint.has(&index) {
            continue;
        }
        let index: Index = checkpoint.read_json(&index)?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        return match names.iter().find(|name| !checkpoint.has(name)) {
            Some(missing) => Err(Error::invalid(
                checkpoint.path(missing),
                "this shard is named in the index but is not there",
            )),
            None => Ok(names.into_iter().map(|name| source(name)).collect()),
        };
    }
    Err(Error::invalid(
        checkpoint.name(),
        "has neither model.safetensors nor model.safetensors.index.json, nor pytorch_model.bin",
    ))
}

/// The values of a tensor of a checkpoint.
pub(super) fn read(checkpoint: &Checkpoint, tensor: &StoredTensor) -> Result<TensorData> {
    tensor
        .read()
        .map_err(|problem| Error::invalid(checkpoint.name(), problem))
}
