//! Weights of the base that an adapter has saved whole.

use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData, bf16};

use super::WRAPPED;
use crate::files::decoder::text_name;
use crate::files::tensors::StoredTensor;
use crate::nn::{Decoder, WeightMut, Weights};

/// The name in the base model of a weight that an adapter has saved whole.
fn base_name(name: &str) -> Option<String> {
    let name = text_name(name.strip_prefix(WRAPPED)?)?;
    Some(
        name.replace(".modules_to_save.default", "")
            .replace(".original_module", ""),
    )
}

/// Whether a saved weight is the base's own, but for what the base's 16 bits round off.
fn is_same(saved: &TensorData, base: &TensorData) -> bool {
    let rounded = |value: f32| bf16::from_f32(value).to_f32();
    saved.shape() == base.shape()
        && saved
            .iter::<f32>()
            .zip(base.iter::<f32>())
            .all(|(saved, base)| saved == base || (rounded(base) == base && rounded(saved) == base))
}

/// Takes those tensors out that are weights of the base and equal to them; returns what is wrong with the others.
///
/// PEFT saves whole embeddings when tokens were added or when it cannot tell whether they were.
pub(super) fn pass_over_saved(
    tensors: &mut BTreeMap<String, StoredTensor>,
    base: &mut dyn FnMut(&str) -> Option<TensorData>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, tensor) in std::mem::take(tensors) {
        let own = base_name(&name).and_then(|name| base(&name));
        match (own, tensor.read_as(DType::F32)) {
            (None, _) => problems.push(match name.contains("per_layer_") {
                true => format!(
                    "{name} adapts the embeddings for each layer, which is not supported: train without them, with \
                     target_modules of projections in attention and mlp"
                ),
                false => format!("{name} is unexpected"),
            }),
            (Some(_), Err(problem)) => problems.push(problem),
            (Some(own), Ok(saved)) if is_same(&saved, &own) => {}
            (Some(_), Ok(_)) => problems.push(format!(
                "{name} is not the base's own: the adapter was trained or resized with it, which is not supported; merge \
                 it in Python (merge_and_unload), save the model, and give that as the model"
            )),
        }
    }
    problems
}

/// The values of a model's weight.
pub(super) fn weight_of(model: &mut Decoder, wanted: &str) -> Option<TensorData> {
    let mut found = None;
    model.weights("", &mut |name: &str, weight: WeightMut<'_>| {
        if name == wanted {
            found = Some(weight.to_data().convert_dtype(DType::F32));
        }
    });
    found
}
