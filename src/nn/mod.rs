//! Burn modules under Hugging Face's names: Gemma, DeBERTa and RoBERTa classifiers, and a linear layer with LoRA.
//!
//! This part of the crate knows burn and tensors only, so that `apc = { default-features = false }` gives it to any
//! other burn project. Each `XConfig` makes its module with `init(&device)`; [`Weights`] walks a module's weights by the
//! names that `model.safetensors` uses, which is how files are read and written one layer up.
//!
//! Shapes have the same names everywhere: `batch`, `seq`, `hidden_size`, `heads`, `kv_heads`, `head_dim`, `vocab_size`,
//! `n_labels`.

mod activation;
mod attention;
mod bf16;
mod cache;
mod classifier;
mod deberta;
mod deberta_attention;
mod decoder;
mod dropout;
pub(crate) mod fused;
mod gemma;
mod lengths;
mod linear;
mod logps;
mod lora;
mod matmul;
pub mod nf4;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod nf4_kernel;
mod norm;
mod panels;
mod roberta;
mod rope;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod step_kernel;
mod weight;

#[cfg(all(test, feature = "flex", any(feature = "cuda", feature = "vulkan")))]
mod on_devices;

pub use activation::{Activation, gelu_tanh};
pub use attention::{Attend, attention_mask, grouped_query_attention};
pub use bf16::Bf16;
pub use cache::KvCache;
pub use classifier::{SequenceClassifier, SequenceClassifierConfig};
pub use deberta::{ClassifierInput, Deberta, DebertaConfig};
pub use deberta_attention::{PositionAttention, relative_buckets};
pub use dropout::Dropout;
pub use gemma::{Gemma, GemmaConfig, GemmaInput};
pub use lengths::Lengths;
pub use linear::Linear;
pub use lora::{Lora, LoraConfig, Projection};
pub use matmul::matmul;
pub use norm::{LayerNorm, RmsNorm};
pub use panels::Panels;
pub use roberta::{Roberta, RobertaConfig};
pub use rope::{Rope, position_ids};
pub use weight::{Weight, WeightMut, Weights};
