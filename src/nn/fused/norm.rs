//! Norms over the last dimension.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use super::simd::{dense, dot, for_rows, sum, tensor, values, vectorized, width};

/// `x · rsqrt(mean(x²) + eps) · (1 + weight)`
pub(super) fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
    let (x, weight) = (dense(x), dense(weight));
    let shape = x.layout().shape().clone();
    let n = width(&x);
    let mut out = vec![0.0; shape.num_elements()];
    for_rows(&mut out, n, |first, out| {
        let (x, weight) = (
            &values(&x)[first * n..first * n + out.len()],
            values(&weight),
        );
        vectorized(|| {
            for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let scale = inverse_rms(x, eps);
                for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
                    *out = x * scale * (1.0 + weight);
                }
            }
        });
    });
    tensor(out, shape)
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt()
}

/// The gradients of [`rms_norm`] to `x` and, if it is wanted, to the weight.
pub(super) fn rms_norm_gradients(
    x: &FlexTensor,
    weight: &FlexTensor,
    eps: f32,
    grad: FlexTensor,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let grad = dense(grad);
    let n = width(x);
    let shape = x.layout().shape().clone();
    let (x, weight, grad) = (values(x), values(weight), values(&grad));
    let mut to_x = vec![0.0; x.len()];
    let mut to_weight = vec![0.0; n];
    vectorized(|| {
        let rows = to_x.chunks_exact_mut(n).zip(x.chunks_exact(n));
        for ((to_x, x), grad) in rows.zip(grad.chunks_exact(n)) {
            let scale = inverse_rms(x, eps);
            // to_x holds grad · (1 + weight) first.
            for ((to_x, &grad), &weight) in to_x.iter_mut().zip(grad).zip(weight) {
                *to_x = grad * (1.0 + weight);
            }
            let along = dot(to_x, x) * scale * scale / n as f32;
            for (to_x, &x) in to_x.iter_mut().zip(x) {
                *to_x = scale * (*to_x - x * along);
            }
            if wanted[1] {
                for ((to_weight, &grad), &x) in to_weight.iter_mut().zip(grad).zip(x) {
                    *to_weight += grad * x * scale;
                }
            }
        }
    });
    [
        wanted[0].then(|| tensor(to_x, shape)),
        wanted[1].then(|| tensor(to_weight, Shape::new([n]))),
    ]
}

/// `(x − mean) · rsqrt(variance + eps) · weight + bias`
pub(super) fn layer_norm(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    eps: f32,
) -> FlexTensor {
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let shape = x.layout().shape().clone();
    let n = width(&x);
    let mut out = vec![0.0; shape.num_elements()];
    for_rows(&mut out, n, |first, out| {
        let x = &values(&x)[first * n..first * n + out.len()];
        let (weight, bias) = (values(&weight), values(&bias));
        vectorized(|| {
            for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let (mean, scale) = moments(x, eps);
                for (((out, &x), &weight), &bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                    *out = (x - mean) * scale * weight + bias;
                }
            }
        });
    });
    tensor(out, shape)
}

/// The mean and one over the deviation.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(x, |x| x) / x.len() as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// The gradients of [`layer_norm`] to `x` and, if they are wanted, to weight and bias.
pub(super) fn layer_norm_gradients(
    x: &FlexTensor,
    weight: &FlexTensor,
    eps: f32,
    grad: FlexTensor,
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let grad = dense(grad);
    let n = width(x);
    let shape = x.layout().shape().clone();
    let (x, weight, grad) = (values(x), values(weight), values(&grad));
    let mut to_x = vec![0.0; x.len()];
    let mut to_weight = vec![0.0; n];
    let mut to_bias = vec![0.0; n];
    let mut normed = vec![0.0; n];
    vectorized(|| {
        let rows = to_x.chunks_exact_mut(n).zip(x.chunks_exact(n));
        for ((to_x, x), grad) in rows.zip(grad.chunks_exact(n)) {
            let (mean, scale) = moments(x, eps);
            for (normed, &x) in normed.iter_mut().zip(x) {
                *normed = (x - mean) * scale;
            }
            for ((to_x, &grad), &weight) in to_x.iter_mut().zip(grad).zip(weight) {
                *to_x = grad * weight;
            }
            let even = sum(to_x, |x| x) / n as f32;
            let along = dot(to_x, &normed) / n as f32;
            for (to_x, &normed) in to_x.iter_mut().zip(&normed) {
                *to_x = scale * (*to_x - even - normed * along);
            }
            if wanted[1] {
                for ((to_weight, &grad), &normed) in to_weight.iter_mut().zip(grad).zip(&normed) {
                    *to_weight += grad * normed;
                }
            }
            if wanted[2] {
                for (to_bias, &grad) in to_bias.iter_mut().zip(grad) {
                    *to_bias += grad;
                }
            }
        }
    });
    let vector = |values| tensor(values, Shape::new([n]));
    [
        wanted[0].then(|| tensor(to_x, shape)),
        wanted[1].then(|| vector(to_weight)),
        wanted[2].then(|| vector(to_bias)),
    ]
}
