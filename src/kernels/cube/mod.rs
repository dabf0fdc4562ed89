//! GPU kernels, written in cubecl.
//!
//! They know tensors and shapes only. Each has a `supports`; where it is false, the caller uses the plain operations.

pub(crate) mod attention;
pub(crate) mod decode_step;
pub(crate) mod launch;
pub(crate) mod nf4;
pub(crate) mod norm_and_gelu;
