//! LoRA adapters as PEFT keeps them: `adapter_config.json`, and `adapter_model.safetensors` or `adapter_model.bin`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::decoder::{EMBEDDINGS, HEAD_TABLE, text_name};
use super::tensors::{Source, StoredTensor, open};
use super::weights::write_tensors;
use crate::nn::{Decoder, Lora, Projection};
use crate::{Error, Result, files};

mod config;
mod places;
mod saved;

pub use config::AdapterConfig;
use config::LayersPath;
use saved::{pass_over_saved, weight_of};

/// What helps against an adapter that is not whole.
const AGAIN: &str = "copy it again, or make it again with `force` if a run has made it";
const CONFIG: &str = "adapter_config.json";

/// The path of a projection in the model that PEFT wraps.
fn module_path(layers: LayersPath, layer_idx: usize, projection: Projection) -> String {
    let (prefix, part, name) = (layers.prefix(), projection.part(), projection.name());
    format!("{prefix}layers.{layer_idx}.{part}.{name}")
}

/// What stands in front of the path of a module in PEFT's file.
const WRAPPED: &str = "base_model.model.";

/// The path of a factor inside PEFT's file.
fn key(layers: LayersPath, layer_idx: usize, projection: Projection, factor: &str) -> String {
    let path = module_path(layers, layer_idx, projection);
    format!("{WRAPPED}{path}.{factor}.weight")
}

/// Where the layers are in the model that PEFT wrapped, told by the names of the factors.
fn layers_path(tensors: &BTreeMap<String, StoredTensor>) -> LayersPath {
    let is_in = |layers: &LayersPath| {
        let prefix = format!("{WRAPPED}{}", layers.prefix());
        tensors.keys().any(|name| name.starts_with(&prefix))
    };
    let parts = [LayersPath::TextPart, LayersPath::OldTextPart];
    parts.into_iter().find(is_in).unwrap_or_default()
}

/// The file of an adapter's factors.
fn factors_file(folder: &Path) -> Option<PathBuf> {
    let names = ["adapter_model.safetensors", "adapter_model.bin"];
    let paths = names.map(|name| folder.join(name));
    paths.into_iter().find(|path| path.is_file())
}

/// Puts an adapter's factors into a model, in place of any it had; an error leaves the model as it was.
///
/// # Errors
///
/// Fails if the folder is no PEFT adapter, if its settings are not supported, or if its factors do not fit the model; all
/// factors that are missing, unexpected or wrongly shaped are named at once.
pub fn load_adapter(model: &mut Decoder, folder: &Path, device: &Device) -> Result<AdapterConfig> {
    let mut own = model.clone();
    let mut base = |name: &str| {
        // The head of tied weights is the table of the embeddings.
        weight_of(&mut own, name).or_else(|| match name {
            HEAD_TABLE => weight_of(&mut own, EMBEDDINGS),
            _ => None,
        })
    };
    load_adapter_with(model, folder, &mut base, device)
}

/// The same where `base` tells the values of the base's weights.
pub(super) fn load_adapter_with(
    model: &mut Decoder,
    folder: &Path,
    base: &mut dyn FnMut(&str) -> Option<TensorData>,
    device: &Device,
) -> Result<AdapterConfig> {
    let mut config = AdapterConfig::load(folder)?;
    let path = factors_file(folder).ok_or_else(|| {
        let reason = format!("has no adapter_model.safetensors, nor adapter_model.bin; {AGAIN}");
        Error::invalid(folder, reason)
    })?;
    let mut tensors = open(&[Source::File(path.clone())])?;
    config.layers = layers_path(&tensors);
    // Factors of the parts for images and sound change nothing of the text model.
    tensors.retain(|name, _| text_name(name.strip_prefix(WRAPPED).unwrap_or(name)).is_some());
    let mut problems = Vec::new();
    let mut adapted = model.without_lora();
    let places = config
        .places()
        .map_err(|reason| Error::invalid(folder.join(CONFIG), reason))?;
    for (layer_idx, projection, linear) in adapted.projections_mut() {
        let Some(lora) = places.lora(layer_idx, projection) else {
            continue;
        };
        let [out_features, in_features] = linear.shape();
        let mut take = |factor, shape| {
            let name = key(config.layers, layer_idx, projection, factor);
            take_factor(&mut tensors, &name, shape, device)
        };
        let lora_a = take("lora_A", [lora.rank, in_features]);
        let lora_b = take("lora_B", [out_features, lora.rank]);
        match (lora_a, lora_b) {
            (Ok(a), Ok(b)) => *linear.lora_mut() = Some(Lora::from_factors(a, b, lora.scaling())),
            (a, b) => problems.extend([a.err(), b.err()].into_iter().flatten()),
        }
    }
    if problems.is_empty() && !adapted.has_lora() {
        // PEFT refuses this, too; it ignores a single name that matches nothing.
        let targets = config.targets();
        let reason = format!("target_modules {targets} match no projection of the model");
        return Err(Error::invalid(folder.join(CONFIG), reason));
    }
    problems.extend(pass_over_saved(&mut tensors, base));
    if problems.is_empty() {
        drop(places);
        // What equals the base's is not written again.
        config.forget_saved_modules();
        *model = adapted;
        return Ok(config);
    }
    Err(Error::invalid(
        path,
        format!("the factors do not fit the model: {}", problems.join("; ")),
    ))
}

/// Takes a factor out of an adapter's tensors, in f32.
fn take_factor(
    tensors: &mut BTreeMap<String, StoredTensor>,
    name: &str,
    wanted: [usize; 2],
    device: &Device,
) -> std::result::Result<Tensor<2>, String> {
    let tensor = tensors
        .remove(name)
        .ok_or_else(|| format!("{name} is missing"))?;
    if tensor.shape != wanted {
        let found = &tensor.shape;
        return Err(format!("{name} has shape {found:?}, not {wanted:?}"));
    }
    tensor.check_float()?;
    let data = tensor.read_weight(DType::F32)?;
    Ok(Tensor::from_data(data, (device, DType::F32)))
}

/// Writes a model's factors as a PEFT adapter.
pub fn save_adapter(model: &Decoder, config: &AdapterConfig, folder: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    for (layer_idx, projection, linear) in model.projections() {
        if let Some(lora) = linear.lora() {
            for (name, factor) in [("lora_A", &lora.lora_a), ("lora_B", &lora.lora_b)] {
                let name = key(config.layers, layer_idx, projection, name);
                tensors.push((name, factor.val().into_data()));
            }
        }
    }
    write_tensors(&folder.join("adapter_model.safetensors"), tensors)?;
    // The config goes last: a folder that has it is whole.
    files::write_json(&folder.join(CONFIG), config)
}
