//! Tensors in safetensors files, or where there are none in PyTorch's: one file, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use burn::store::{ModuleStore, PytorchStore, bridge, burn_pack};
use burn::tensor::{BoolStore, DType, TensorData, bf16, f16};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::Checkpoint;
use super::compressed::{self, Packed};
use crate::error::guarded;
use crate::nn::RowSource;
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
    /// Bytes of a safetensors file.
    Range {
        path: PathBuf,
        start: u64,
        len: usize,
    },
    /// A tensor of a PyTorch file, which reads its values itself.
    PyTorch(burn_pack::Tensor),
    /// Bytes inside the program.
    Bytes(&'static [u8]),
    /// Codes in a few bits, and their scales.
    Packed(Box<Packed>),
}

impl StoredTensor {
    /// A tensor of floats that others hold in a few bits.
    pub(super) fn packed(name: &str, shape: Vec<usize>, packed: Packed) -> Self {
        Self {
            name: name.to_string(),
            shape,
            dtype: DType::F32,
            values: Values::Packed(Box::new(packed)),
        }
    }

    /// Whether the values are kept in a few bits.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.values, Values::Packed(_))
    }

    /// Copies the values.
    pub(super) fn read(&self) -> std::result::Result<TensorData, String> {
        self.read_as(self.dtype)
    }

    /// Copies the values as numbers of `dtype`.
    ///
    /// Floats become f32 some at a time, so that no more memory is taken than the result has.
    pub(super) fn read_as(&self, dtype: DType) -> std::result::Result<TensorData, String> {
        let failed = |error: &str| format!("{} cannot be read: {error}", self.name);
        let is_float = matches!(self.dtype, DType::F32 | DType::BF16 | DType::F16);
        let read = |mut bytes: Box<dyn Read>, len: usize| -> std::io::Result<TensorData> {
            if dtype == DType::F32 && is_float {
                let values = floats(&mut bytes, len, self.dtype)?;
                return Ok(TensorData::new(values, self.shape.clone()));
            }
            let mut values = Vec::with_capacity(len);
            bytes.read_to_end(&mut values)?;
            if values.len() != len {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let data = TensorData::from_bytes_vec(values, self.shape.clone(), self.dtype);
            Ok(data.convert_dtype(dtype))
        };
        let result = match &self.values {
            Values::Range { path, start, len } => File::open(path).and_then(|mut file| {
                file.seek(SeekFrom::Start(*start))?;
                read(Box::new(file.take(*len as u64)), *len)
            }),
            Values::Bytes(bytes) => read(Box::new(*bytes), bytes.len()),
            Values::PyTorch(tensor) => {
                let tensor = tensor.clone();
                let data = guarded(move || bridge::into_data(tensor))
                    .and_then(|data| data.map_err(|error| error.to_string()))
                    .map_err(|error| failed(&error))?;
                return Ok(data.convert_dtype(dtype));
            }
            Values::Packed(packed) => {
                let data = packed.read(&self.shape).map_err(|error| failed(&error))?;
                return Ok(data.convert_dtype(dtype));
            }
        };
        result.map_err(|error| failed(&error.to_string()))
    }

    /// The rows of a matrix of floats in a safetensors file, which are read as they are needed; none of another tensor.
    pub(super) fn rows(&self) -> Option<std::result::Result<Arc<dyn RowSource>, String>> {
        let (Values::Range { path, start, .. }, [_, columns]) = (&self.values, &self.shape[..])
        else {
            return None;
        };
        if !matches!(self.dtype, DType::F32 | DType::BF16 | DType::F16) {
            return None;
        }
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", self.name);
        Some(File::open(path).map_err(failed).map(|file| {
            let rows: Arc<dyn RowSource> = Arc::new(FileRows {
                path: path.clone(),
                file: Mutex::new(file),
                start: *start,
                columns: *columns,
                dtype: self.dtype,
            });
            rows
        }))
    }

    /// Copies the values of a weight, which must be numbers.
    pub(super) fn read_weight(&self, dtype: DType) -> std::result::Result<TensorData, String> {
        let data = self.read_as(dtype)?;
        if is_finite(&data) {
            return Ok(data);
        }
        Err(self.not_finite())
    }

    /// Says that there are values that are not finite.
    pub(super) fn not_finite(&self) -> String {
        let advice = "the file is damaged, or its training diverged";
        format!("{} has values that are not finite: {advice}", self.name)
    }

    /// Says what is wrong if the tensor cannot be a weight, because it holds no floats.
    pub(super) fn check_float(&self) -> std::result::Result<(), String> {
        match self.dtype {
            DType::F64 | DType::F32 | DType::F16 | DType::BF16 => Ok(()),
            other => Err(format!(
                "{} is {other:?}, but weights are floats",
                self.name
            )),
        }
    }
}

/// Rows of a matrix in a file that stays open.
#[derive(Debug)]
struct FileRows {
    path: PathBuf,
    file: Mutex<File>,
    start: u64,
    columns: usize,
    dtype: DType,
}

impl RowSource for FileRows {
    fn rows(&self, indices: &[usize]) -> Vec<f32> {
        let len = self.columns * self.dtype.size();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = Vec::with_capacity(indices.len() * self.columns);
        for index in indices {
            let place = self.start + (index * len) as u64;
            let row = file
                .seek(SeekFrom::Start(place))
                .and_then(|_| floats(&mut *file, len, self.dtype));
            match row {
                Ok(row) => values.extend(row),
                // It was there when the model was loaded.
                Err(error) => panic!(
                    "the embeddings in {} can no longer be read: {error}",
                    self.path.display()
                ),
            }
        }
        values
    }
}

/// Whether all values are finite.
fn is_finite(data: &TensorData) -> bool {
    match data.dtype() {
        DType::F32 => data
            .as_slice::<f32>()
            .is_ok_and(|values| values.iter().all(|value| value.is_finite())),
        DType::BF16 => data
            .as_slice::<bf16>()
            .is_ok_and(|values| values.iter().all(|value| value.is_finite())),
        DType::F16 => data
            .as_slice::<f16>()
            .is_ok_and(|values| values.iter().all(|value| value.is_finite())),
        _ => true,
    }
}

/// Reads `len` bytes of floats as f32.
fn floats(bytes: &mut dyn Read, len: usize, dtype: DType) -> std::io::Result<Vec<f32>> {
    /// Bytes that are read at a time.
    const PIECE: usize = 1 << 20;
    let mut values = Vec::with_capacity(len / dtype.size());
    let mut piece = vec![0; PIECE.min(len)];
    let mut rest = len;
    while rest > 0 {
        let piece = &mut piece[..PIECE.min(rest)];
        bytes.read_exact(piece)?;
        rest -= piece.len();
        match dtype {
            DType::BF16 => {
                let halves = piece.chunks_exact(2);
                values.extend(halves.map(|half| bf16::from_le_bytes([half[0], half[1]]).to_f32()));
            }
            DType::F16 => {
                let halves = piece.chunks_exact(2);
                values.extend(halves.map(|half| f16::from_le_bytes([half[0], half[1]]).to_f32()));
            }
            _ => {
                let floats = piece.chunks_exact(4);
                values.extend(floats.map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])));
            }
        }
    }
    Ok(values)
}

fn is_pytorch(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "bin")
}

/// The tensors of a PyTorch file, whose values are read when they are asked for.
fn pytorch(path: &Path) -> std::result::Result<BTreeMap<String, burn_pack::Tensor>, String> {
    let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
    // The reader of pickles panics on some that are no state dict.
    let found = guarded(move || match store.get_all_tensors() {
        Ok(found) => Ok(found.clone()),
        Err(error) => Err(error.to_string()),
    });
    found.and_then(|found| found).map_err(|error| {
        format!("{error}; a state dict is needed, a dictionary of tensors by their names")
    })
}

/// The header of a safetensors file, and where its values begin.
fn header(path: &Path) -> std::result::Result<(Metadata, u64), String> {
    /// No header is longer, by the format's own reader.
    const MOST: u64 = 100_000_000;
    let told = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(told)?;
    let file_len = file.metadata().map_err(told)?.len();
    let mut len = [0; 8];
    file.read_exact(&mut len)
        .map_err(|_| "it has no header".to_string())?;
    let len = u64::from_le_bytes(len);
    if len > MOST || len > file_len.saturating_sub(8) {
        return Err(format!("its header would have {len} bytes"));
    }
    let mut text = vec![0; len as usize];
    file.read_exact(&mut text).map_err(told)?;
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|error| format!("its header: {error}"))?;
    let start = 8 + len;
    let (values, there) = (metadata.data_len() as u64, file_len - start);
    if values != there {
        return Err(format!(
            "its header tells of {values} bytes of values, but there are {there}"
        ));
    }
    Ok((metadata, start))
}

/// The dtype of a tensor by the name that safetensors has for it.
fn dtype_of(name: &str, dtype: Dtype) -> std::result::Result<DType, String> {
    Ok(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        // Such a tensor is no weight; it is refused where it would be one.
        Dtype::BOOL => DType::Bool(BoolStore::U8),
        other => return Err(format!("{name} is {other:?}, which is not supported")),
    })
}

/// The tensors of a source, told by their headers.
fn stored(source: &Source) -> std::result::Result<Vec<StoredTensor>, String> {
    match source {
        Source::File(path) if is_pytorch(path) => {
            let found = pytorch(path)?;
            let stored = found.iter().map(|(name, tensor)| StoredTensor {
                name: name.clone(),
                shape: tensor.shape.to_vec(),
                dtype: tensor.dtype,
                values: Values::PyTorch(tensor.clone()),
            });
            Ok(stored.collect())
        }
        Source::File(path) => {
            let (metadata, begin) = header(path)?;
            let stored = metadata.tensors().into_iter().map(|(name, info)| {
                let (start, end) = info.data_offsets;
                Ok(StoredTensor {
                    shape: info.shape.clone(),
                    dtype: dtype_of(&name, info.dtype)?,
                    values: Values::Range {
                        path: path.clone(),
                        start: begin + start as u64,
                        len: end - start,
                    },
                    name,
                })
            });
            stored.collect()
        }
        Source::Bytes(_, bytes) => {
            let found = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
            let stored = found.iter().map(|(name, view)| {
                Ok(StoredTensor {
                    name: name.to_string(),
                    shape: view.shape().to_vec(),
                    dtype: dtype_of(name, view.dtype())?,
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
            let advice = match error.contains("not supported") {
                true => "",
                false => "; copy or download it again",
            };
            let reason = format!("cannot be read as {kind}: {error}{advice}");
            Error::invalid(source.path(), reason)
        })?;
        let by_name = found
            .into_iter()
            .map(|tensor| (tensor.name.clone(), tensor));
        tensors.extend(by_name);
    }
    if let (Err(reason), Some(first)) = (compressed::join_parts(&mut tensors), sources.first()) {
        // The parts of a weight may lie in several shards.
        let folder = first.path().parent().filter(|_| sources.len() > 1);
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        return Err(Error::invalid(folder.unwrap_or(first.path()), reason));
    }
    Ok(tensors)
}

/// The shards that the text of an index names, all of them inside its folder.
///
/// # Errors
///
/// Fails if the text is no index, or names a file outside the folder of `index`.
pub fn shard_names(index: &Path, text: &str) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Index { weight_map } = super::io::parse_json(index, text)?;
    let shards: BTreeSet<String> = weight_map.into_values().collect();
    match shards.iter().find(|shard| !super::stays_inside(shard)) {
        Some(outside) => {
            let reason =
                format!("\"weight_map\" names {outside:?}, which is no file of its folder");
            Err(Error::invalid(index, reason))
        }
        None => Ok(shards),
    }
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
        let names = shard_names(&checkpoint.path(&index), &checkpoint.read_text(&index)?)?;
        return match names.iter().find(|name| !checkpoint.has(name)) {
            Some(missing) => Err(Error::invalid(
                checkpoint.path(missing),
                "this shard is named in the index but is not there",
            )),
            None => Ok(names.iter().map(|name| source(name)).collect()),
        };
    }
    Err(Error::invalid(
        checkpoint.name(),
        "has neither model.safetensors nor model.safetensors.index.json, nor pytorch_model.bin",
    ))
}

/// A checkpoint's tensors of fractions by name, all as f32; those of whole numbers are left out.
#[cfg(feature = "tiny")]
pub(crate) fn read_floats(checkpoint: &Checkpoint) -> Result<BTreeMap<String, TensorData>> {
    let sources = weight_files(checkpoint)?;
    let tensors = open(&sources)?;
    let floats = tensors
        .iter()
        .filter(|(_, tensor)| tensor.check_float().is_ok());
    let values = floats.map(|(name, tensor)| {
        let values = tensor.read_as(DType::F32);
        let values = values.map_err(|problem| Error::invalid(checkpoint.name(), problem))?;
        Ok((name.clone(), values))
    });
    values.collect()
}

/// The values of a tensor of a checkpoint.
pub(super) fn read(checkpoint: &Checkpoint, tensor: &StoredTensor) -> Result<TensorData> {
    tensor
        .read()
        .map_err(|problem| Error::invalid(checkpoint.name(), problem))
}
