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

/// In how many bits matrices are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// With a scale for each 32 values of a row; the table of positions in 8 bits with a scale for each row.
    Four,
    /// With a scale for each row.
    Eight,
}

/// How a matrix is packed: its bits, and how many values of a row share a scale.
fn packing(bits: Bits, name: &str, [rows, columns]: [usize; 2]) -> Option<(usize, usize)> {
    // A handful of rows are not worth it, and a classifier's head decides by small differences.
    const FEW_ROWS: usize = 8;
    // Every text looks up the first rows of a table of positions, where errors add up.
    let is_of_positions = name.contains("position_embeddings");
    match bits {
        _ if rows <= FEW_ROWS || !columns.is_multiple_of(GROUP) => None,
        Bits::Four if !is_of_positions => Some((4, GROUP)),
        Bits::Four | Bits::Eight => Some((8, columns)),
    }
}

/// Replaces the matrices whose names `is_meant` accepts by frozen ones with the values that [`save_compressed`] keeps of them. What
/// has been rounded stays the same, however often.
pub fn round_weights(model: &mut impl Weights, bits: Bits, is_meant: impl Fn(&str) -> bool) {
    model.weights("", &mut |name, mut weight| {
        let WeightMut::Matrix(matrix) = &weight else {
            return;
        };
        let (shape, device) = (matrix.shape(), matrix.val().device().inner());
        let Some((bits, group)) = packing(bits, name, shape).filter(|_| is_meant(name)) else {
            return;
        };
        let mut values = floats(weight.to_data());
        for values in values.chunks_mut(group) {
            let scale = best_scale(values, bits);
            for value in values {
                *value = code(*value, scale, bits) as f32 * scale.to_f32();
            }
        }
        weight.set_frozen(TensorData::new(values, shape), DType::F32, &device);
    });
}

/// The tensors of a model in few bits, vectors and small matrices in f32; and what `config.json` must say of it as
/// `quantization_config`.
pub(crate) fn compressed(model: &mut impl Weights, bits: Bits) -> (Vec<Entry<'static>>, Value) {
    let mut entries = Vec::new();
    let mut targets = [Vec::new(), Vec::new()];
    let mut ignored = Vec::new();
    model.weights("", &mut |name, weight| {
        let data = weight.to_data().convert_dtype(DType::F32);
        let shape = match weight {
            WeightMut::Matrix(matrix) => Some(matrix.shape()),
            WeightMut::Vector(_) => None,
        };
        let packing = shape.and_then(|shape| Some((shape, packing(bits, name, shape)?)));
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
    let weights = |bits: usize, strategy: &str, group: Value| json!({"num_bits": bits, "type": "int", "symmetric": true, "strategy": strategy, "group_size": group});
    let [in_4, in_8] = targets;
    let groups = [
        (in_4, weights(4, "group", json!(GROUP))),
        (in_8, weights(8, "channel", Value::Null)),
    ];
    let groups = groups
        .into_iter()
        .filter(|(targets, _)| !targets.is_empty());
    let groups = groups.zip(0..).map(|((targets, weights), number)| {
        let group = json!({"targets": targets, "weights": weights});
        (format!("group_{number}"), group)
    });
    let config = json!({
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": Value::Object(groups.collect()),
        "ignore": ignored,
    });
    (entries, config)
}

/// Writes a model in few bits to `model.safetensors`, vectors and small matrices in f32; and returns what `config.json` must say of
/// it as `quantization_config`.
pub fn save_compressed(model: &mut impl Weights, bits: Bits, folder: &Path) -> Result<Value> {
    let (entries, config) = compressed(model, bits);
    write_file(&folder.join("model.safetensors"), entries)?;
    Ok(config)
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
    let whole = (1 << (bits - 1)) as f32;
    let limit = whole - 0.5;
    // With the largest code at either end of the range: one of them gives back values that were rounded before.
    let exact = [largest / (whole - 1.0), largest / whole];
    let cut = CUTS.map(|cut| largest * cut / limit);
    let error = |scale: f16| -> f32 {
        let error =
            |&value: &f32| (code(value, scale, bits) as f32 * scale.to_f32() - value).powi(2);
        values.iter().map(error).sum()
    };
    let mut best = (f32::INFINITY, f16::MIN_POSITIVE);
    for scale in exact.into_iter().chain(cut) {
        let scale = f16::from_f32(scale).max(f16::MIN_POSITIVE);
        let error = error(scale);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

#[cfg(all(test, feature = "tiny"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::layers::weight::draw_matrices;
    use crate::nn::{RobertaConfig, RobertaKind};

    #[test]
    fn what_has_been_rounded_stays_the_same() {
        let device = Device::flex();
        let mut bert = RobertaConfig::new()
            .with_kind(RobertaKind::Bert)
            .with_vocab_size(300)
            .with_hidden_size(64)
            .with_intermediate_size(96)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_max_position_embeddings(48)
            .init(&device);
        draw_matrices(&mut bert, 3, 0.5, &device);
        let values = |bert: &mut _| {
            let mut found = Vec::new();
            Weights::weights(bert, "", &mut |name, weight| {
                found.push((name.to_string(), weight.to_data()));
            });
            found
        };
        let stored = |bert: &mut _| -> Vec<(String, TensorData)> {
            let (entries, _) = compressed(bert, Bits::Four);
            let read = |entry: Entry<'_>| (entry.name, (entry.data)().unwrap());
            entries.into_iter().map(read).collect()
        };
        let (before, in_few_bits) = (values(&mut bert), stored(&mut bert));
        round_weights(&mut bert, Bits::Four, |name| {
            name.contains("word_embeddings")
        });
        let of_words = values(&mut bert);
        for (before, after) in before.iter().zip(&of_words) {
            assert_eq!(
                before != after,
                before.0.contains("word_embeddings"),
                "{}",
                before.0
            );
        }
        round_weights(&mut bert, Bits::Four, |_| true);
        let rounded = values(&mut bert);
        assert_eq!(stored(&mut bert), in_few_bits);
        round_weights(&mut bert, Bits::Four, |_| true);
        assert_eq!(values(&mut bert), rounded);
    }
}
