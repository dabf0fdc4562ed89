//! Fused operations on tensors: CPU loops and GPU kernels where burn's step-by-step expressions are slow.
//!
//! Burn's CPU backend runs each step of an expression over the whole tensor, on one thread, with a C library call per
//! exponential; in a training step that costs more than the matrix products. So the expressions that show up in profiles are
//! one loop each here, with their backward passes, through burn's backend extension.
//!
//! This folder knows tensors only: no model, module, weight or learner, and nothing of [`nn`](crate::nn), which calls it.

#[cfg(feature = "flex")]
pub(crate) mod cpu;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) mod cube;
pub(crate) mod ops;
#[cfg(all(test, feature = "flex"))]
pub(crate) mod testing;

#[cfg(feature = "flex")]
use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Up to so many rows the loops for few rows are faster than a general matrix product.
pub(crate) const FEW_ROWS: usize = 64;

/// Returns whether the CPU loops support a tensor: f32 on the CPU.
pub(crate) fn supports<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cpu(&x.device())
}

/// Returns whether `device` is the CPU backend.
#[cfg(feature = "flex")]
pub(crate) fn is_cpu(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Flex(_)
    )
}

/// Returns false: without a CPU backend no device is one.
#[cfg(not(feature = "flex"))]
pub(crate) fn is_cpu(_device: &Device) -> bool {
    false
}
