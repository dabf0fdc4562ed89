//! GELU, alone and as a gate, and the sum with a bias.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use crate::kernels::simd::{
    change_rows, dense, erf, exp, noticeable, owned, sigmoid, tensor, values, values_mut,
    vectorized, width,
};

/// `2·√(2/π)`, and that times the cubic term's factor.
const LINEAR: f32 = 1.595_769;
const CUBIC: f32 = LINEAR * 0.044_715;

/// `x + bias`, row by row.
pub(crate) fn add_bias(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let bias = dense(bias);
    let bias = values(&bias);
    change_rows(x, bias.len(), |_, x| {
        vectorized(
            #[inline(always)]
            || {
                for row in x.chunks_exact_mut(bias.len()) {
                    for (x, &bias) in row.iter_mut().zip(bias) {
                        *x += bias;
                    }
                }
            },
        );
    })
}

/// The gradients of [`add_bias`] to both.
pub(crate) fn add_bias_gradients(grad: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
    let grad = dense(grad);
    let to_bias = wanted[1].then(|| {
        let mut sums = vec![0.0; width(&grad)];
        vectorized(
            #[inline(always)]
            || {
                for row in values(&grad).chunks_exact(sums.len()) {
                    for (sum, &grad) in sums.iter_mut().zip(row) {
                        *sum += grad;
                    }
                }
            },
        );
        let shape = Shape::new([sums.len()]);
        tensor(sums, shape)
    });
    [wanted[0].then_some(grad), to_bias]
}

/// `gelu_tanh(gate) · up`
pub(crate) fn gated_gelu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
    let up = dense(up);
    let up = values(&up);
    change_rows(gate, 1, |start, gate| {
        let up = &up[start..start + gate.len()];
        vectorized(
            #[inline(always)]
            || {
                for (x, &up) in gate.iter_mut().zip(up) {
                    *x = *x * sigmoid(*x * (LINEAR + CUBIC * *x * *x)) * up;
                }
            },
        );
    })
}

/// The gradients of [`gated_gelu`] to gate and up.
pub(crate) fn gated_gelu_gradients(
    gate: FlexTensor,
    up: FlexTensor,
    grad: FlexTensor,
) -> [FlexTensor; 2] {
    let (mut gate, mut up, grad) = (owned(gate), owned(up), dense(grad));
    let numbers = values_mut(&mut gate).iter_mut().zip(values_mut(&mut up));
    vectorized(
        #[inline(always)]
        || {
            for ((gate, up), &grad) in numbers.zip(values(&grad)) {
                let x = *gate;
                let square = x * x;
                let share = sigmoid(x * (LINEAR + CUBIC * square));
                let slope = share + x * share * (1.0 - share) * (LINEAR + 3.0 * CUBIC * square);
                *gate = noticeable(grad * *up * slope);
                *up = noticeable(grad * x * share);
            }
        },
    );
    [gate, up]
}

/// GELU with the error function.
pub(crate) fn gelu(x: FlexTensor) -> FlexTensor {
    change_rows(x, 1, |_, x| {
        vectorized(
            #[inline(always)]
            || {
                for x in x {
                    *x = gelu_of(*x);
                }
            },
        );
    })
}

/// GELU of one number.
#[inline(always)]
pub(crate) fn gelu_of(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2))
}

/// The gradient of [`gelu`].
pub(crate) fn gelu_gradient(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
    /// `1 / √(2π)`
    const DENSITY: f32 = 0.398_942_3;
    let (x, mut grad) = (dense(x), owned(grad));
    let (x, to_x) = (values(&x), values_mut(&mut grad));
    vectorized(
        #[inline(always)]
        || {
            for (grad, &x) in to_x.iter_mut().zip(x) {
                let below = 0.5 * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2));
                *grad = noticeable(*grad * (below + x * DENSITY * exp(-0.5 * x * x)));
            }
        },
    );
    grad
}
