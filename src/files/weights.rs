//! The weights of a model: filled from a checkpoint's tensors, and written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};

use super::decoder::{EMBEDDINGS, HEAD_TABLE, text_name};
use super::nf4;
use super::shards::{Entry, write_file};
use super::tensors::{StoredTensor, open, weight_files};
use super::{Checkpoint, EmbeddingQuantization, Precision, Quantization};
use crate::nn::layers::int8::Int8Codes;
use crate::nn::layers::nf4::{self as blocks, Nf4};
use crate::nn::{Weight, WeightMut, Weights};
use crate::{Error, Result};

/// Names that older checkpoints carry and no model here needs.
const IGNORED: [&str; 5] = [
    "embeddings.position_ids",
    HEAD_TABLE,
    "rotary_emb.inv_freq",
    // Some classifiers were saved with the unused pretraining pooler.
    "roberta.pooler.dense.weight",
    "roberta.pooler.dense.bias",
];

/// Fills any module's weights from a checkpoint's files, one tensor at a time.
///
/// # Errors
///
/// Every tensor that is missing, unexpected or wrongly shaped is named, all of them at once.
pub fn load_weights(
    model: &mut impl Weights,
    checkpoint: &Checkpoint,
    precision: Precision,
    device: &Device,
) -> Result<()> {
    load(model, checkpoint, Part::Whole, precision, device)
}

/// Which weights of a checkpoint a model has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Every weight, and nothing else.
    Whole,
    /// Those of the text model, but not those whose names begin with one of these.
    Text(&'a [String]),
    /// All but the head of a classifier, which stays as it is; heads for other tasks are skipped.
    Body,
}

/// The weights of a classifier's head.
pub(super) const HEAD: [&str; 2] = ["classifier.", "pooler."];
/// The part of BERT's head that is pretrained with it.
const BERT_POOLER: &str = "bert.pooler.";
/// Heads with which DeBERTa, BERT and XLM-RoBERTa were pretrained.
const OTHER_HEADS: [&str; 6] = [
    "lm_head.",
    "roberta.pooler.",
    "lm_predictions.",
    "mask_predictions.",
    "cls.",
    "legacy_cls.",
];

pub(super) fn load(
    model: &mut impl Weights,
    checkpoint: &Checkpoint,
    part: Part<'_>,
    precision: Precision,
    device: &Device,
) -> Result<()> {
    let mut stored = StoredWeights::open(model, checkpoint, part)?;
    // Names and shapes are checked before any value is read.
    let mut problems = stored.misfits(model);
    if problems.is_empty() {
        problems.extend(stored.other_head(model));
    }
    if problems.is_empty() {
        problems = stored.fill(model, precision, device);
    }
    if problems.is_empty() {
        return Ok(());
    }
    let problems = problems.join("; ");
    let reason = format!("the weights do not fit config.json: {problems}");
    Err(Error::invalid(checkpoint.name(), reason))
}

/// The tensors of a checkpoint from which a model is filled.
struct StoredWeights<'a> {
    tensors: BTreeMap<String, StoredTensor>,
    part: Part<'a>,
    /// Whether there is the pooler with which a BERT was pretrained; if not, the model's own stays as it is.
    has_pooler: bool,
}

impl<'a> StoredWeights<'a> {
    fn open(model: &mut impl Weights, checkpoint: &Checkpoint, part: Part<'a>) -> Result<Self> {
        let tensors = open(&weight_files(checkpoint)?)?.into_iter();
        let mut tensors: BTreeMap<_, _> = tensors
            .map(|(name, tensor)| (modern(&name), tensor))
            .collect();
        match part {
            Part::Whole => {}
            Part::Text(unused) => tensors = named_as_in_a_text_model(tensors, unused),
            Part::Body => tensors = named_as_in_a_classifier(tensors, model),
        }
        let has_pooler = tensors.keys().any(|name| name.starts_with(BERT_POOLER));
        let mut stored = Self {
            tensors,
            part,
            has_pooler,
        };
        if part == Part::Body {
            let is_head = |name: &str| starts(name, &OTHER_HEADS) || starts(name, &HEAD);
            stored.tensors.retain(|name, _| !is_head(name));
        }
        Ok(stored)
    }

    /// Whether a weight of the model stays as it is.
    fn is_kept(&self, name: &str) -> bool {
        let is_head = starts(name, &HEAD) || (starts(name, &[BERT_POOLER]) && !self.has_pooler);
        self.part == Part::Body && is_head
    }

    /// Every tensor that is missing, unexpected, wrongly shaped or not of numbers.
    fn misfits(&self, model: &mut impl Weights) -> Vec<String> {
        let tensors = &self.tensors;
        let mut problems = Vec::new();
        let mut unexpected: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
        model.weights("", &mut |name, weight| {
            if self.is_kept(name) {
                return;
            }
            unexpected.remove(name);
            if nf4::is_packed(name, tensors) {
                let part = format!("{name}.");
                return unexpected.retain(|other| !other.starts_with(&part));
            }
            let wanted = weight.shape();
            match tensors.get(name) {
                None => problems.push(format!("{name} is missing")),
                Some(StoredTensor { shape, .. }) if *shape != wanted => {
                    problems.push(format!("{name} has shape {shape:?}, not {wanted:?}"));
                }
                Some(tensor) => problems.extend(tensor.check_float().err()),
            }
        });
        unexpected.retain(|name| !IGNORED.iter().any(|ignored| name.ends_with(ignored)));
        let unexpected = unexpected.iter();
        problems.extend(unexpected.map(|name| format!("{name} is unexpected")));
        problems
    }

    /// What is wrong with a head beside the embeddings, which the model has for a head: it must be the same table.
    fn other_head(&self, model: &mut impl Weights) -> Option<String> {
        let mut is_tied = matches!(self.part, Part::Text(_));
        model.weights("", &mut |name, _| is_tied &= name != HEAD_TABLE);
        let head = self.tensors.get(HEAD_TABLE).filter(|_| is_tied)?;
        let table = self.tensors.get(EMBEDDINGS)?;
        match is_same_table(head, table) {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{HEAD_TABLE} differs from {EMBEDDINGS}, but tie_word_embeddings says that they are one; if the head is the \
                 model's own, set \"tie_word_embeddings\": false"
            )),
            Err(problem) => Some(problem),
        }
    }

    /// Fills the weights one by one, up to the first that cannot be read; returns what is wrong with that.
    fn fill(
        &mut self,
        model: &mut impl Weights,
        precision: Precision,
        device: &Device,
    ) -> Vec<String> {
        let dtype = precision.dtype.into();
        let mut problems = Vec::new();
        model.weights("", &mut |name, mut weight| {
            if self.is_kept(name) || !problems.is_empty() {
                return;
            }
            if let WeightMut::Matrix(matrix) = &weight
                && nf4::is_packed(name, &self.tensors)
            {
                match nf4::take(name, matrix.shape(), &mut self.tensors, dtype, device) {
                    Ok(packed) => weight.set_nf4(packed),
                    Err(problem) => problems.push(problem),
                }
                return;
            }
            let Some(tensor) = self.tensors.remove(name) else {
                return problems.push(format!("{name} is missing"));
            };
            if is_stored_table(name)
                && let Some(rows) = tensor.rows()
            {
                match rows {
                    Ok(rows) => weight.set_rows(rows, dtype, device),
                    Err(problem) => problems.push(problem),
                }
                return;
            }
            let quantize = precision.quantization == Quantization::Nf4 && nf4::is_projection(name);
            let table = match is_table(name) {
                true => precision.embeddings_of(weight.shape()[0]),
                false => EmbeddingQuantization::None,
            };
            if table != EmbeddingQuantization::None
                && let WeightMut::Matrix(matrix) = &mut weight
            {
                match quantized_table(&tensor, matrix.shape(), table, dtype, device) {
                    Ok(quantized) => **matrix = quantized,
                    Err(problem) => problems.push(problem),
                }
                return;
            }
            match (tensor.read_weight(dtype), &mut weight) {
                (Err(problem), _) => problems.push(problem),
                (Ok(data), WeightMut::Matrix(matrix)) if quantize => {
                    let (values, shape) = (nf4::floats(data), matrix.shape());
                    weight.set_nf4(Nf4::from_values(&values, shape, dtype, device));
                }
                (Ok(data), weight) => weight.set_frozen(data, dtype, device),
            }
        });
        problems
    }
}

/// Whether a weight of that name is the embeddings of a decoder, or its head.
fn is_table(name: &str) -> bool {
    [EMBEDDINGS, HEAD_TABLE].contains(&name)
}

/// Whether two tables have the same values.
fn is_same_table(a: &StoredTensor, b: &StoredTensor) -> std::result::Result<bool, String> {
    if a.shape != b.shape || a.check_float().is_err() || b.check_float().is_err() {
        return Ok(false);
    }
    let (Some(rows_of_a), Some(rows_of_b)) = (a.rows().transpose()?, b.rows().transpose()?) else {
        return Ok(a.read_as(DType::F32)? == b.read_as(DType::F32)?);
    };
    let mut blocks = row_blocks(a.shape[0]);
    Ok(blocks.all(|block| rows_of_a.rows(&block) == rows_of_b.rows(&block)))
}

/// The indices of some rows at a time, so that few of a large table are dense at once.
fn row_blocks(rows: usize) -> impl Iterator<Item = Vec<usize>> {
    const ROWS: usize = 4096;
    let starts = (0..rows).step_by(ROWS);
    starts.map(move |start| (start..rows.min(start + ROWS)).collect())
}

/// Reads a table of embeddings some rows at a time and quantizes them.
fn quantized_table(
    tensor: &StoredTensor,
    shape: [usize; 2],
    quantization: EmbeddingQuantization,
    dtype: DType,
    device: &Device,
) -> std::result::Result<Weight<2>, String> {
    let [rows, columns] = shape;
    let in_eight = quantization != EmbeddingQuantization::Nf4;
    let mut int8 = Int8Codes::with_capacity(if in_eight { shape } else { [0, columns] });
    let (mut codes, mut absmax) = (Vec::new(), Vec::new());
    let mut take = |values: &[f32]| {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(tensor.not_finite());
        }
        if in_eight {
            int8.extend(values);
        } else {
            absmax.extend(blocks::absmax(values, blocks::BLOCK_SIZE));
            codes.extend(blocks::quantize(values, blocks::BLOCK_SIZE));
        }
        Ok(())
    };
    match tensor.rows().transpose()? {
        Some(source) => {
            for block in row_blocks(rows) {
                take(&source.rows(&block))?;
            }
        }
        None => take(&nf4::floats(tensor.read_as(DType::F32)?))?,
    }
    Ok(match in_eight {
        true => Weight::int8(int8.into_weight(dtype, device)),
        false => {
            let code = blocks::CODE;
            let size = blocks::BLOCK_SIZE;
            Weight::nf4(Nf4::new(codes, absmax, code, shape, size, dtype, device))
        }
    })
}

/// Whether a weight of that name is read row by row as its rows are needed: a token uses one of many.
fn is_stored_table(name: &str) -> bool {
    name == "model.embed_tokens_per_layer.weight"
}

/// The weights of the text part of a model that also sees or hears, by the names that they have in a text model; those whose
/// names begin like one of `unused` are left out.
fn named_as_in_a_text_model(
    tensors: BTreeMap<String, StoredTensor>,
    unused: &[String],
) -> BTreeMap<String, StoredTensor> {
    let named = tensors
        .into_iter()
        .filter_map(|(name, tensor)| Some((text_name(&name)?, tensor)));
    let is_used = |name: &str| {
        !unused
            .iter()
            .any(|unused| name.starts_with(unused.as_str()))
    };
    named.filter(|(name, _)| is_used(name)).collect()
}

/// The weights of a base model that was saved alone, with its name in front as a classifier has it.
fn named_as_in_a_classifier(
    tensors: BTreeMap<String, StoredTensor>,
    model: &mut impl Weights,
) -> BTreeMap<String, StoredTensor> {
    const TABLES: &str = "embeddings.";
    let mut base = None;
    model.weights("", &mut |name, _| {
        base = base
            .take()
            .or_else(|| name.split_once(TABLES).map(|(base, _)| base.to_string()));
    });
    match base {
        Some(base) if tensors.keys().any(|name| name.starts_with(TABLES)) => {
            let tensors = tensors.into_iter();
            tensors
                .map(|(name, tensor)| (format!("{base}{name}"), tensor))
                .collect()
        }
        _ => tensors,
    }
}

fn starts(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The name of a tensor as it is today: old checkpoints of BERT call a norm's weight and bias gamma and beta.
fn modern(name: &str) -> String {
    let norm = |old: &str| {
        name.strip_suffix(old)
            .filter(|norm| norm.ends_with("LayerNorm."))
    };
    match (norm("gamma"), norm("beta")) {
        (Some(norm), _) => format!("{norm}weight"),
        (_, Some(norm)) => format!("{norm}bias"),
        _ => name.to_string(),
    }
}

/// Whether the checkpoint's files of weights are there and whole, told by their headers alone.
pub fn check_weights(checkpoint: &Checkpoint) -> Result<()> {
    open(&weight_files(checkpoint)?).map(drop)
}

/// What a checkpoint's weights take in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightSizes {
    /// How many values there are; codes in four bits count as two.
    pub values: u64,
    /// How many of them are in memory: embeddings for each layer are not.
    pub resident: u64,
    /// Bytes of those as they are kept.
    pub total: u64,
    /// Whether projections are kept in four bits.
    pub in_four_bits: bool,
    /// Bytes of the largest one.
    pub largest: u64,
}

/// Returns what a checkpoint's weights take in memory, told by the headers of its files.
///
/// # Errors
///
/// Files that are not there or not whole.
pub fn weight_sizes(checkpoint: &Checkpoint, precision: Precision) -> Result<WeightSizes> {
    let mut sizes = WeightSizes::default();
    for (name, tensor) in open(&weight_files(checkpoint)?)? {
        // Parts for images and sound are passed over.
        let Some(name) = text_name(&name) else {
            continue;
        };
        let values: u64 = tensor.shape.iter().map(|&size| size as u64).product();
        let is_float = matches!(tensor.dtype, DType::F32 | DType::BF16 | DType::F16);
        let rows = tensor.shape.first().map_or(0, |&rows| rows as u64);
        let bytes = match is_float {
            // Codes and the like stay as they are.
            false => values * tensor.dtype.size() as u64,
            true if is_stored_table(&name) => 0,
            true if is_table(&name) => precision.embedding_bytes(rows, values),
            true if nf4::is_projection(&name) => precision.projection_bytes(values),
            true => values * precision.value_bytes(),
        };
        let n_values = if is_float { values } else { 2 * values };
        sizes.in_four_bits |= match is_float {
            true => nf4::is_projection(&name) && precision.quantization == Quantization::Nf4,
            false => name.ends_with(nf4::STATE),
        };
        if !is_stored_table(&name) {
            sizes.resident += n_values;
        }
        sizes.values += n_values;
        sizes.total += bytes;
        sizes.largest = sizes.largest.max(bytes);
    }
    Ok(sizes)
}

/// Whether the checkpoint's weights have the head of a classifier.
pub(super) fn has_head(checkpoint: &Checkpoint) -> Result<bool> {
    let tensors = open(&weight_files(checkpoint)?)?;
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
pub(super) fn write_tensors(path: &Path, tensors: Vec<(String, TensorData)>) -> Result<()> {
    let entries = tensors
        .into_iter()
        .map(|(name, data)| Entry::new(name, data.convert_dtype(DType::F32)));
    write_file(path, entries.collect())
}
