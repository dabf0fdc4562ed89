//! Layer norm of one row.

use crate::kernels::cpu::simd::sum;

/// Normalizes one row in place: `(x − mean) · rsqrt(variance + eps) · weight + bias`.
#[inline(always)]
pub(crate) fn layer_norm_row(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let (mean, scale) = moments(x, eps);
    for ((x, &weight), &bias) in x.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

/// Returns a row's mean and `1 / √(variance + eps)`.
#[inline(always)]
pub(crate) fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(x, |x| x) / x.len() as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}
