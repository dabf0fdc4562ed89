//! Weights in a few bits as compressed-tensors packs them ("pack-quantized"), which transformers and vLLM read.
//!
//! In place of `X.weight` lie `X.weight_packed`, the codes of a row from its first value in the lowest bits of 32-bit
//! words, each raised by half of its range; `X.weight_scale`, `[rows, groups]`, what a code of each group of a row is
//! multiplied with; and `X.weight_shape`. Reference:
//! <https://github.com/vllm-project/compressed-tensors/blob/0.12.2/src/compressed_tensors/compressors/quantized_compressors/pack_quantized.py>.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::{DType, TensorData, f16};
use serde_json::{Value, json};

use super::nf4::floats;
use super::shards::{Entry, write_file};
use super::tensors::StoredTensor;
use crate::Result;
use crate::nn::{WeightMut, Weights};

/// The parts of a packed weight, of which its name has the first two behind it.
const PARTS: [&str; 3] = ["_packed", "_scale", "_shape"];
/// Bits of a word that holds several codes.
const WORD: usize = 32;
/// Values of a projection that share a scale.
const GROUP: usize = 32;

/// A weight in a few bits, whose values are not read yet.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    codes: StoredTensor,
    scales: StoredTensor,
    bits: usize,
}

/// Puts one tensor in the place of each packed weight's parts.
pub(super) fn join_parts(
    tensors: &mut BTreeMap<String, StoredTensor>,
) -> std::result::Result<(), String> {
    let weight = |name: &String| {
        let name = PARTS.iter().find_map(|part| name.strip_suffix(part));
        name.filter(|name| name.ends_with("weight"))
            .map(str::to_string)
    };
    let names: BTreeSet<String> = tensors.keys().filter_map(weight).collect();
    for name in names {
        if tensors.contains_key(&name) {
            return Err(format!(
                "{name} is there twice, once by itself and once packed"
            ));
        }
        let mut take = |part: &str| {
            let name = format!("{name}{part}");
            tensors
                .remove(&name)
                .ok_or_else(|| format!("{name} is missing"))
        };
        for part in ["_zero_point", "_g_idx"] {
            if take(part).is_ok() {
                return Err(format!(
                    "{name}{part} is there: only symmetric codes in the order of the values are supported"
                ));
            }
        }
        let [codes, scales, shape] = PARTS.map(take);
        let tensor = packed_tensor(&name, codes?, scales?, &shape?)?;
        tensors.insert(name, tensor);
    }
    Ok(())
}

fn packed_tensor(
    name: &str,
    codes: StoredTensor,
    scales: StoredTensor,
    shape: &StoredTensor,
) -> std::result::Result<StoredTensor, String> {
    let unfit = |told: &str| {
        format!(
            "{name} with shape {told} has codes {:?} of {:?} and scales {:?}; only rows in 4 or 8 bits with a scale for each group are \
             supported",
            codes.shape, codes.dtype, scales.shape
        )
    };
    if !matches!(shape.dtype, DType::I64 | DType::I32) {
        return Err(unfit(&format!("of {:?}", shape.dtype)));
    }
    let sizes: Vec<i64> = shape.read()?.iter::<i64>().collect();
    let told = format!("{sizes:?}");
    let [rows, columns] = sizes[..] else {
        return Err(unfit(&told));
    };
    let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else {
        return Err(unfit(&told));
    };
    // A row of four values or fewer has one word either way.
    let fits = |bits: &usize| codes.shape == [rows, columns.div_ceil(WORD / bits)];
    let bits: Vec<usize> = [4, 8].into_iter().filter(fits).collect();
    let groups = match scales.shape[..] {
        [of_rows, n_groups] if of_rows == rows && n_groups > 0 => n_groups,
        _ => return Err(unfit(&told)),
    };
    match bits[..] {
        [bits] if codes.dtype == DType::I32 && columns.is_multiple_of(groups) => {
            scales.check_float()?;
            let packed = Packed {
                codes,
                scales,
                bits,
            };
            Ok(StoredTensor::packed(name, vec![rows, columns], packed))
        }
        _ => Err(unfit(&told)),
    }
}

impl Packed {
    /// Reads the values of a weight, in f32.
    pub(super) fn read(&self, shape: &[usize]) -> std::result::Result<TensorData, String> {
        let (codes, scales) = (self.codes.read()?, floats(self.scales.read()?));
        let codes = codes
            .as_slice::<i32>()
            .map_err(|error| format!("{error:?}"))?;
        let [rows, columns] = [shape[0], shape[1]];
        let per_word = WORD / self.bits;
        let words = columns.div_ceil(per_word);
        let n_groups = scales.len() / rows.max(1);
        let group = columns / n_groups.max(1);
        let (mask, middle) = ((1_u32 << self.bits) - 1, 1_i32 << (self.bits - 1));
        let mut values = vec![0.0_f32; rows * columns];
        values
            .chunks_mut(columns.max(1))
            .enumerate()
            .for_each(|(row, values)| {
                let (codes, scales) = (&codes[row * words..], &scales[row * n_groups..]);
                for (column, value) in values.iter_mut().enumerate() {
                    let word = codes[column / per_word] as u32;
                    let code = (word >> (column % per_word * self.bits)) & mask;
                    *value = (code as i32 - middle) as f32 * scales[column / group];
                }
            });
        Ok(TensorData::new(values, shape.to_vec()))
    }
}

/// How a matrix is packed: its bits, and how many values of a row share a scale.
fn packing(name: &str, [rows, columns]: [usize; 2]) -> Option<(usize, usize)> {
    // A handful of rows are not worth it, and a classifier's head decides by small differences.
    const FEW_ROWS: usize = 8;
    // Every text looks up the first rows of a table of positions, where errors add up.
    let is_of_positions = name.contains("position_embeddings");
    match is_of_positions {
        _ if rows <= FEW_ROWS || !columns.is_multiple_of(GROUP) => None,
        true => Some((8, columns)),
        false => Some((4, GROUP)),
    }
}

/// Writes a model's weights to `model.safetensors`: matrices in 4 bits with a scale for each 32 values, positions in 8 bits with a
/// scale for each row, vectors and small matrices in f32; and returns what `config.json` must say of it as
/// `quantization_config`.
pub fn save_compressed(model: &mut impl Weights, folder: &Path) -> Result<Value> {
    let mut entries = Vec::new();
    let mut targets = [Vec::new(), Vec::new()];
    let mut ignored = Vec::new();
    model.weights("", &mut |name, weight| {
        let data = weight.to_data().convert_dtype(DType::F32);
        let shape = match weight {
            WeightMut::Matrix(matrix) => Some(matrix.shape()),
            WeightMut::Vector(_) => None,
        };
        let packing = shape.and_then(|shape| Some((shape, packing(name, shape)?)));
        let module = name.strip_suffix(".weight").unwrap_or(name).to_string();
        let Some((shape, (bits, group))) = packing else {
            if shape.is_some() {
                ignored.push(module);
            }
            return entries.push(Entry::new(name, data));
        };
        targets[usize::from(bits == 8)].push(module);
        let (codes, scales) = pack(&floats(data), shape, bits, group);
        let part = |part: &str, data| Entry::new(format!("{name}{part}"), data);
        let [packed, scale, shape_of] = PARTS;
        entries.push(part(packed, codes));
        entries.push(part(scale, scales));
        let shape = shape.map(|size| size as i64);
        entries.push(part(shape_of, TensorData::from(shape)));
    });
    write_file(&folder.join("model.safetensors"), entries)?;
    let [in_4, in_8] = targets;
    let weights = |bits: usize, strategy: &str, group: Value| json!({"num_bits": bits, "type": "int", "symmetric": true, "strategy": strategy, "group_size": group});
    Ok(json!({
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {"targets": in_4, "weights": weights(4, "group", json!(GROUP))},
            "group_1": {"targets": in_8, "weights": weights(8, "channel", Value::Null)},
        },
        "ignore": ignored,
    }))
}

/// The codes of a matrix, packed into words, and the scales of its groups.
fn pack(
    values: &[f32],
    [rows, columns]: [usize; 2],
    bits: usize,
    group: usize,
) -> (TensorData, TensorData) {
    let per_word = WORD / bits;
    let (words, n_groups) = (columns.div_ceil(per_word), columns / group);
    let row = |values: &[f32]| {
        let mut codes = vec![0_u32; words];
        let mut scales = Vec::with_capacity(n_groups);
        for (place, values) in values.chunks(group).enumerate() {
            let scale = best_scale(values, bits);
            scales.push(scale);
            for (offset, &value) in values.iter().enumerate() {
                let column = place * group + offset;
                let middle = 1 << (bits - 1);
                let code = (code(value, scale, bits) + middle) as u32;
                codes[column / per_word] |= code << (column % per_word * bits);
            }
        }
        (codes, scales)
    };
    let packed: Vec<(Vec<u32>, Vec<f16>)> = values.chunks(columns).map(row).collect();
    let (codes, scales): (Vec<_>, Vec<_>) = packed.into_iter().unzip();
    let codes: Vec<i32> = codes.concat().into_iter().map(|word| word as i32).collect();
    (
        TensorData::new(codes, [rows, words]),
        TensorData::new(scales.concat(), [rows, n_groups]),
    )
}

/// The nearest code of a value.
fn code(value: f32, scale: f16, bits: usize) -> i32 {
    let limit = 1 << (bits - 1);
    ((value / scale.to_f32()).round() as i32).clamp(-limit, limit - 1)
}

/// The scale with the smallest squared error, of some that cut the largest values more or less.
fn best_scale(values: &[f32], bits: usize) -> f16 {
    const CUTS: [f32; 8] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65];
    let largest = values
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let limit = (1 << (bits - 1)) as f32 - 0.5;
    let scale = |cut: f32| f16::from_f32(largest * cut / limit).max(f16::MIN_POSITIVE);
    let error = |scale: f16| -> f32 {
        let error =
            |&value: &f32| (code(value, scale, bits) as f32 * scale.to_f32() - value).powi(2);
        values.iter().map(error).sum()
    };
    let mut best = (f32::INFINITY, scale(1.0));
    for scale in CUTS.map(scale) {
        let error = error(scale);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}
