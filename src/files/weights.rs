//! Weights in safetensors files, or where there are none in PyTorch's: one file, or shards with an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge, burn_pack};
use burn::tensor::{DType, Device, TensorData};
use serde::Deserialize;

use crate::files::nf4::{self, Quantization};
use crate::files::shards::{Entry, write_file};
use crate::nn::layers::nf4::Nf4;
use crate::nn::{WeightMut, Weights};
use crate::{Error, Result, files};

/// Names that older checkpoints carry and no model here needs.
const IGNORED: [&str; 3] = [
    "embeddings.position_ids",
    "lm_head.weight",
    "rotary_emb.inv_freq",
];

/// Fills a model's weights from the folder's files, one tensor at a time.
///
/// # Errors
///
/// Every tensor that is missing, unexpected or wrongly shaped is named, all of them at once.
pub fn load_weights(
    model: &mut impl Weights,
    folder: &Path,
    dtype: DType,
    device: &Device,
) -> Result<()> {
    load(
        model,
        folder,
        Part::Whole,
        Quantization::None,
        dtype,
        device,
    )
}

/// Whether every weight of a model must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Every weight, and nothing else.
    Whole,
    /// All but the head of a classifier, which stays as it is; heads for other tasks are passed over.
    Body,
}

/// The weights of a classifier's head.
pub(crate) const HEAD: [&str; 2] = ["classifier.", "pooler."];
/// Heads with which DeBERTa and XLM-RoBERTa were pretrained.
const OTHER_HEADS: [&str; 6] = [
    "lm_head.",
    "roberta.pooler.",
    "lm_predictions.",
    "mask_predictions.",
    "cls.",
    "legacy_cls.",
];

pub(crate) fn load(
    model: &mut impl Weights,
    folder: &Path,
    part: Part,
    quantization: Quantization,
    dtype: DType,
    device: &Device,
) -> Result<()> {
    let starts = |name: &str, prefixes: &[&str]| {
        part == Part::Body && prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut tensors = open(&weight_files(folder)?)?;
    tensors.retain(|name, _| !starts(name, &OTHER_HEADS) && !starts(name, &HEAD));
    let mut problems = Vec::new();
    model.weights("", &mut |name, mut weight| {
        if starts(name, &HEAD) {
            return;
        }
        if let WeightMut::Matrix(matrix) = &weight
            && nf4::is_packed(name, &tensors)
        {
            match nf4::take(name, matrix.shape(), &mut tensors, dtype, device) {
                Ok(packed) => weight.set_nf4(packed),
                Err(problem) => problems.push(problem),
            }
            return;
        }
        let Some(tensor) = tensors.remove(name) else {
            return problems.push(format!("{name} is missing"));
        };
        let (found, wanted) = (tensor.shape.clone(), weight.shape());
        if found != wanted {
            return problems.push(format!("{name} has shape {found:?}, not {wanted:?}"));
        }
        match tensor.read() {
            Ok(data) => {
                let data = data.convert_dtype(dtype);
                match &mut weight {
                    WeightMut::Matrix(matrix)
                        if quantization == Quantization::Nf4 && nf4::is_projection(name) =>
                    {
                        let shape = matrix.shape();
                        let packed = Nf4::from_values(&nf4::floats(data), shape, dtype, device);
                        weight.set_nf4(packed);
                    }
                    _ => weight.set_frozen(data, dtype, device),
                }
            }
            Err(problem) => problems.push(problem),
        }
    });
    let unexpected = tensors
        .keys()
        .filter(|name| !IGNORED.iter().any(|ignored| name.ends_with(ignored)));
    problems.extend(unexpected.map(|name| format!("{name} is unexpected")));
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        folder,
        format!(
            "the weights do not fit config.json: {}",
            problems.join("; ")
        ),
    ))
}

/// Whether the folder's files of weights are there and whole, told by their headers alone.
pub fn check_weights(folder: &Path) -> Result<()> {
    open(&weight_files(folder)?).map(drop)
}

/// Whether the folder's weights have the head of a classifier.
pub(crate) fn has_head(folder: &Path) -> Result<bool> {
    let tensors = open(&weight_files(folder)?)?;
    Ok(tensors.keys().any(|name| name.starts_with(HEAD[0])))
}

/// Writes a model's weights to `model.safetensors` in f32.
pub fn save_weights(model: &mut impl Weights, folder: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    model.weights("", &mut |name, weight| {
        tensors.push((name.to_string(), weight.to_data()))
    });
    write_tensors(&folder.join("model.safetensors"), tensors)
}

/// Writes named tensors to one safetensors file, as f32.
pub(crate) fn write_tensors(path: &Path, tensors: Vec<(String, TensorData)>) -> Result<()> {
    let entries = tensors
        .into_iter()
        .map(|(name, data)| Entry::new(name, data.convert_dtype(DType::F32)));
    write_file(path, entries.collect())
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    path: PathBuf,
    name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
}

impl StoredTensor {
    /// The values, copied from the file, which is mapped into memory no longer than that takes: what was read of it would
    /// stay there.
    pub(crate) fn read(&self) -> std::result::Result<TensorData, String> {
        let told = |error: &str| format!("{} cannot be read: {error}", self.name);
        let tensor = tensors_in(&self.path)
            .map_err(|error| told(&error))?
            .remove(&self.name)
            .ok_or_else(|| told("it is gone"))?;
        bridge::into_data(tensor).map_err(|error| told(&error.to_string()))
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

/// The tensors of some files by name.
pub(crate) fn open(paths: &[PathBuf]) -> Result<BTreeMap<String, StoredTensor>> {
    let mut tensors = BTreeMap::new();
    for path in paths {
        let found = tensors_in(path).map_err(|error| {
            let kind = if is_pytorch(path) {
                "a PyTorch checkpoint"
            } else {
                "safetensors"
            };
            let reason = format!("cannot be read as {kind}: {error}; copy or download it again");
            Error::invalid(path, reason)
        })?;
        tensors.extend(found.iter().map(|(name, tensor)| {
            let stored = StoredTensor {
                path: path.clone(),
                name: name.clone(),
                shape: tensor.shape.to_vec(),
                dtype: tensor.dtype,
            };
            (name.clone(), stored)
        }));
    }
    Ok(tensors)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The folder's one file of weights, or the shards that its index names; safetensors if it has them.
pub(crate) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let single = folder.join(name);
        if single.is_file() {
            return Ok(vec![single]);
        }
        let index_path = folder.join(format!("{name}.index.json"));
        if !index_path.is_file() {
            continue;
        }
        let index: Index = files::read_json(&index_path)?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        let paths: Vec<PathBuf> = names.into_iter().map(|name| folder.join(name)).collect();
        return match paths.iter().find(|path| !path.is_file()) {
            Some(missing) => Err(Error::invalid(
                missing,
                "this shard is named in the index but is not there",
            )),
            None => Ok(paths),
        };
    }
    Err(Error::invalid(
        folder,
        "has neither model.safetensors nor model.safetensors.index.json, nor pytorch_model.bin",
    ))
}
