//! What weights are kept in.

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

/// The dtype of weights and activations, by the names of `config.json`.
///
/// Norms, attention weights, losses and LoRA factors are computed in float32 whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes a value.
    #[default]
    Float32,
    /// 2 bytes with the range of float32.
    Bfloat16,
    /// 2 bytes with a small range.
    Float16,
}

impl Dtype {
    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }

    /// Whether a device computes in it.
    pub fn is_supported_by(self, device: &Device) -> bool {
        device.supports_dtype(DType::from(self))
    }
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Float32 => Self::F32,
            Dtype::Bfloat16 => Self::BF16,
            Dtype::Float16 => Self::F16,
        }
    }
}

/// Whether weights are kept as they are or in four bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// As they are; a checkpoint in NF4 stays in NF4.
    #[default]
    None,
    /// The projections in NF4, each made dense when it is used; norms, embeddings and heads as they are.
    Nf4,
}

impl Quantization {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Nf4 => "nf4",
        }
    }
}

/// In how many bits the embeddings of tokens and the head are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingQuantization {
    /// In eight where the projections are in four and the vocabulary has 100,000 tokens or more, else as they are.
    #[default]
    Auto,
    /// As they are.
    None,
    /// In eight, with a scale for each token.
    Int8,
    /// In four, as the projections may be.
    Nf4,
}

impl EmbeddingQuantization {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
        }
    }

    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// How a model's weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precision {
    /// What is computed in, and what weights are kept in that are not quantized.
    pub dtype: Dtype,
    /// In how many bits the projections are kept.
    pub quantization: Quantization,
    /// In how many bits embeddings and head are kept; of a decoder alone.
    #[serde(default, skip_serializing_if = "EmbeddingQuantization::is_auto")]
    pub embeddings: EmbeddingQuantization,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        Self {
            dtype,
            ..Self::default()
        }
    }
}

/// Half a byte a value, and a scale in f32 for each block of 64.
fn nf4_bytes(values: u64) -> u64 {
    values / 2 + values / 64 * 4
}

impl Precision {
    /// The same with projections in four bits.
    pub fn in_nf4(self) -> Self {
        Self {
            quantization: Quantization::Nf4,
            ..self
        }
    }

    /// The bytes that so many values of projections take.
    pub(crate) fn projection_bytes(self, values: u64) -> u64 {
        match self.quantization {
            Quantization::None => values * self.value_bytes(),
            Quantization::Nf4 => nf4_bytes(values),
        }
    }

    /// The bytes that embeddings or a head of so many rows and values take.
    pub(crate) fn embedding_bytes(self, rows: u64, values: u64) -> u64 {
        match self.embeddings_of(rows as usize) {
            EmbeddingQuantization::Int8 => values + 4 * rows,
            EmbeddingQuantization::Nf4 => nf4_bytes(values),
            EmbeddingQuantization::None | EmbeddingQuantization::Auto => {
                values * self.value_bytes()
            }
        }
    }

    /// The bytes of a value that is not quantized.
    pub(crate) fn value_bytes(self) -> u64 {
        DType::from(self.dtype).size() as u64
    }

    /// In how many bits a table of embeddings with so many rows is kept.
    pub fn embeddings_of(self, rows: usize) -> EmbeddingQuantization {
        /// From here on the table is a large part of a small model.
        const MANY: usize = 100_000;
        match self.embeddings {
            EmbeddingQuantization::Auto
                if self.quantization == Quantization::Nf4 && rows >= MANY =>
            {
                EmbeddingQuantization::Int8
            }
            EmbeddingQuantization::Auto => EmbeddingQuantization::None,
            chosen => chosen,
        }
    }
}
