//! GPU kernels, written in cubecl.
//!
//! They know tensors and shapes only. Each has a `supports`; whoever calls it has another way for all other devices.

pub(crate) mod attention;
pub(crate) mod decode_step;
pub(crate) mod launch;
pub(crate) mod nf4;
pub(crate) mod norm_and_gelu;
