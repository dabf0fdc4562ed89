//! Burn modules under Hugging Face's names: Gemma, Llama, Mistral and Qwen as one decoder; DeBERTa, RoBERTa and BERT
//! classifiers; and their layers with LoRA and NF4.
//!
//! This part of the crate knows burn and tensors only: no files, tokenizers, network, learner or command line. With
//! `default-features = false` it is all there is of the crate. Each `XConfig` makes its module with `init(&device)`;
//! [`Weights`] walks a module's weights by the names that `model.safetensors` uses, and the feature `files` adds
//! `apc::files`, which loads checkpoints and adapters with it.
//!
//! Shapes have the same names everywhere: `batch`, `seq`, `hidden_size`, `heads`, `kv_heads`, `head_dim`, `vocab_size`,
//! `n_labels`.

mod batch;
pub(crate) mod config;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod layers;

#[cfg(all(test, feature = "flex", any(feature = "cuda", feature = "vulkan")))]
mod device_tests;

pub use crate::kernels::ops::matmul::matmul;
pub use batch::Lengths;
pub use config::InvalidConfig;
#[cfg(feature = "files")]
pub(crate) use config::check_pad;
pub use decoder::cache::KvCache;
pub use decoder::config::{DecoderConfig, LayerType};
pub use decoder::input::DecoderInput;
pub use decoder::model::Decoder;
pub use decoder::size::DecoderSize;
pub use encoder::classifier::{SequenceClassifier, SequenceClassifierConfig};
pub use encoder::deberta::Deberta;
pub use encoder::deberta_config::DebertaConfig;
pub use encoder::input::ClassifierInput;
pub use encoder::pooling::Pooling;
pub use encoder::position::PositionTerm;
pub use encoder::roberta::{Roberta, RobertaConfig, RobertaKind};
pub use layers::activation::{Activation, gelu_tanh};
pub use layers::attention::{Attend, attention_mask, grouped_query_attention};
pub use layers::dropout::Dropout;
pub use layers::int8::Int8;
pub use layers::linear::Linear;
pub use layers::lora::{Lora, LoraConfig, Projection};
pub use layers::nf4;
pub use layers::norm::{LayerNorm, NormScale, RmsNorm};
pub use layers::rope::{Rope, RopeParameters, RopeType, position_ids};
pub use layers::rows::RowSource;
pub use layers::weight::{Weight, WeightMut, Weights};

/// A Gemma, of any generation and size: a [`Decoder`] made by one of [`GemmaConfig`]'s functions named for it.
pub type Gemma = Decoder;
/// The shape of a Gemma: [`DecoderConfig`], whose default is Gemma's 7b.
pub type GemmaConfig = DecoderConfig;
