//! Weights in NF4 as transformers keeps them with bitsandbytes.
//!
//! Beside `X.weight`, the codes, lie `X.weight.absmax`, `X.weight.quant_map` and the settings as the bytes of a JSON text
//! in `X.weight.quant_state.bitsandbytes__nf4`. In the nested form the scales are themselves in eight bits, with their own
//! scale for every 256 of them, their own map, and an offset.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, TensorData};
use serde::{Deserialize, Serialize};

use super::config_json::dtype_named;
use super::tensors::StoredTensor;
use crate::nn::layers::nf4::Nf4;

/// bitsandbytes has blocks of up to 4096 values.
const MOST_BLOCK: usize = 1 << 16;

pub(super) const STATE: &str = "quant_state.bitsandbytes__nf4";

/// The settings of a quantized weight, as bitsandbytes names them.
#[derive(Serialize, Deserialize)]
pub(super) struct QuantState {
    pub(super) quant_type: String,
    pub(super) blocksize: usize,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nested_blocksize: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nested_offset: Option<f32>,
}

/// Whether a weight of that name is quantized: the projections of a decoder's layer or of an encoder's.
pub(super) fn is_projection(name: &str) -> bool {
    let in_encoder = name.contains(".encoder.layer.") && name.ends_with(".weight");
    name.ends_with("_proj.weight") || in_encoder
}

/// Whether the tensors hold a weight in NF4.
pub(super) fn is_packed(name: &str, tensors: &BTreeMap<String, StoredTensor>) -> bool {
    tensors.contains_key(&format!("{name}.{STATE}"))
}

/// The shape of a weight in NF4.
pub(super) fn shape(
    name: &str,
    tensors: &BTreeMap<String, StoredTensor>,
) -> std::result::Result<[usize; 2], String> {
    let key = format!("{name}.{STATE}");
    let state = tensors
        .get(&key)
        .ok_or_else(|| format!("{key} is missing"))?;
    let shape = state_of(name, &state.read()?)?.shape;
    <[usize; 2]>::try_from(shape)
        .map_err(|shape| format!("{name} has shape {shape:?}, which is no matrix"))
}

fn state_of(name: &str, data: &TensorData) -> std::result::Result<QuantState, String> {
    serde_json::from_slice(data.as_bytes())
        .map_err(|error| format!("{name}.{STATE} is not understood: {error}"))
}

/// Takes a weight in NF4 of the shape `wanted` from the tensors of a checkpoint.
pub(super) fn take(
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
    let state = state_of(name, &part(STATE)?)?;
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
    if absmax.iter().chain(&code).any(|value| !value.is_finite()) {
        return Err(format!(
            "{name} has scales that are not finite: the file is damaged"
        ));
    }
    let code: [f32; 16] = code
        .try_into()
        .map_err(|_| format!("{name}.quant_map has not sixteen values"))?;
    let n_values: usize = wanted.iter().product();
    let fits = (1..=MOST_BLOCK).contains(&state.blocksize)
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

/// A tensor's values in f32; those of a tensor in f32 are not copied.
pub(super) fn floats(data: TensorData) -> Vec<f32> {
    match data.dtype() {
        DType::F32 => data.try_into_vec().expect("the numbers are f32"),
        _ => data.iter::<f32>().collect(),
    }
}
