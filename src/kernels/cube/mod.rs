//! Kernels for graphics cards, written in cubecl.

pub(crate) mod decode_step;
pub(crate) mod nf4;
