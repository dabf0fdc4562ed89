//! Norms over the last dimension.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use crate::kernels::simd::{
    change_rows, dense, dot, noticeable, owned, sum, tensor, values, values_mut, vectorized, width,
};

/// `x · rsqrt(mean(x²) + eps) · (1 + weight)`
pub(crate) fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
    let (n, weight) = (width(&x), dense(weight));
    let weight = values(&weight);
    change_rows(x, n, |_, x| {
        vectorized(
            #[inline(always)]
            || {
                for x in x.chunks_exact_mut(n) {
                    let scale = inverse_rms(x, eps);
                    for (x, &weight) in x.iter_mut().zip(weight) {
                        *x = *x * scale * (1.0 + weight);
                    }
                }
            },
        );
    })
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt()
}

/// The gradients of [`rms_norm`] to `x` and, if it is wanted, to the weight.
pub(crate) fn rms_norm_gradients(
    x: &FlexTensor,
    weight: &FlexTensor,
    eps: f32,
    grad: FlexTensor,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let n = width(x);
    let mut grad = owned(grad);
    let mut to_weight = vec![0.0; n];
    let (x, weight) = (values(x), values(weight));
    let grads = values_mut(&mut grad);
    vectorized(
        #[inline(always)]
        || {
            for (grad, x) in grads.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let scale = inverse_rms(x, eps);
                if wanted[1] {
                    for ((to_weight, &grad), &x) in to_weight.iter_mut().zip(&*grad).zip(x) {
                        *to_weight += grad * x * scale;
                    }
                }
                for (grad, &weight) in grad.iter_mut().zip(weight) {
                    *grad *= 1.0 + weight;
                }
                let along = dot(grad, x) * scale * scale / n as f32;
                for (grad, &x) in grad.iter_mut().zip(x) {
                    *grad = noticeable(scale * (*grad - x * along));
                }
            }
        },
    );
    [
        wanted[0].then_some(grad),
        wanted[1].then(|| tensor(to_weight, Shape::new([n]))),
    ]
}

/// `(x − mean) · rsqrt(variance + eps) · weight + bias`
pub(crate) fn layer_norm(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    eps: f32,
) -> FlexTensor {
    let (n, weight, bias) = (width(&x), dense(weight), dense(bias));
    let (weight, bias) = (values(&weight), values(&bias));
    change_rows(x, n, |_, x| {
        vectorized(
            #[inline(always)]
            || {
                for x in x.chunks_exact_mut(n) {
                    layer_norm_row(x, weight, bias, eps);
                }
            },
        );
    })
}

/// The layer norm of one row in its place.
#[inline(always)]
pub(crate) fn layer_norm_row(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let (mean, scale) = moments(x, eps);
    for ((x, &weight), &bias) in x.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

/// The mean and one over the deviation.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(x, |x| x) / x.len() as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// The gradients of [`layer_norm`] to `x` and, if they are wanted, to weight and bias.
pub(crate) fn layer_norm_gradients(
    x: &FlexTensor,
    weight: &FlexTensor,
    eps: f32,
    grad: FlexTensor,
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let n = width(x);
    let mut grad = owned(grad);
    let [mut to_weight, mut to_bias, mut normed] = [(); 3].map(|()| vec![0.0; n]);
    let (x, weight) = (values(x), values(weight));
    let grads = values_mut(&mut grad);
    vectorized(
        #[inline(always)]
        || {
            for (grad, x) in grads.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let (mean, scale) = moments(x, eps);
                for (normed, &x) in normed.iter_mut().zip(x) {
                    *normed = (x - mean) * scale;
                }
                if wanted[1] {
                    let terms = grad.iter().zip(&normed);
                    for (to_weight, (&grad, &normed)) in to_weight.iter_mut().zip(terms) {
                        *to_weight += grad * normed;
                    }
                }
                if wanted[2] {
                    for (to_bias, &grad) in to_bias.iter_mut().zip(&*grad) {
                        *to_bias += grad;
                    }
                }
                for (grad, &weight) in grad.iter_mut().zip(weight) {
                    *grad *= weight;
                }
                let even = sum(grad, |x| x) / n as f32;
                let along = dot(grad, &normed) / n as f32;
                for (grad, &normed) in grad.iter_mut().zip(&normed) {
                    *grad = noticeable(scale * (*grad - even - normed * along));
                }
            }
        },
    );
    let vector = |values| tensor(values, Shape::new([n]));
    [
        wanted[0].then_some(grad),
        wanted[1].then(|| vector(to_weight)),
        wanted[2].then(|| vector(to_bias)),
    ]
}
