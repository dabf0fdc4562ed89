//! The layers that models are built of: projections with LoRA, weights in every precision, norms, rotary angles, attention.
//!
//! No layer knows which model uses it; what only one model needs is beside that model.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod dropout;
pub(crate) mod int8;
pub(crate) mod linear;
pub(crate) mod lora;
pub mod nf4;
pub(crate) mod norm;
pub(crate) mod panels;
pub(crate) mod rope;
pub(crate) mod rows;
pub(crate) mod weight;
