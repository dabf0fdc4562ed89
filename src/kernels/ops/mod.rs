//! Operations, one per file: the entry that models call, its plain burn expression, the CPU loop, the backward pass, tests.
//!
//! An entry picks the CPU loop for f32 tensors on the CPU and the plain expression for all other dtypes and backends, so it
//! works everywhere; the plain expression is also what tests compare the loop with. Where a loop has a backward pass, the
//! trait of the operation is implemented for burn's autodiff backend, too; where it has none, tensors on the tape take the
//! plain expression. Two storage formats exist on the CPU only (`bf16`, `panels`): their conversions return `None` elsewhere.
#![cfg_attr(
    not(feature = "flex"),
    allow(
        unused_variables,
        reason = "without a backend the generated dispatch has no arm that uses its arguments"
    )
)]

#[cfg(feature = "pipeline")]
pub(crate) mod adamw;
pub(crate) mod add_bias;
pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod disentangled_attention;
pub(crate) mod disentangled_weights;
pub(crate) mod first_token_attention;
pub(crate) mod gated;
pub(crate) mod gelu;
pub(crate) mod int8;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod lora_linear;
pub(crate) mod masked_softmax;
pub(crate) mod matmul;
pub(crate) mod nf4;
pub(crate) mod panels;
pub(crate) mod rms_norm;
pub(crate) mod rotate_heads;

pub(crate) use add_bias::add_bias;
pub(crate) use attention::{Scores, SharedPrompt, attention};
pub(crate) use disentangled_attention::disentangled_attention;
pub(crate) use disentangled_weights::disentangled_weights;
pub(crate) use first_token_attention::first_token_attention;
pub(crate) use gated::{Gate, gated};
pub(crate) use gelu::gelu;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub(crate) use lora_linear::{lora_linear, low_rank};
pub(crate) use masked_softmax::masked_softmax;
pub use rms_norm::NormScale;
pub(crate) use rms_norm::rms_norm;
pub(crate) use rotate_heads::{rotate, rotate_heads};
