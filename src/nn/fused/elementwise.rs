//! GELU, alone and as a gate.

use burn::backend::flex::FlexTensor;

use super::simd::{dense, erf, exp, for_rows, sigmoid, tensor, values, vectorized};

/// `2·√(2/π)`, and that times the cubic term's factor.
const LINEAR: f32 = 1.595_769;
const CUBIC: f32 = LINEAR * 0.044_715;

/// `gelu_tanh(gate) · up`
pub(super) fn gated_gelu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
    let (gate, up) = (dense(gate), dense(up));
    let shape = gate.layout().shape().clone();
    let mut out = vec![0.0; shape.num_elements()];
    for_rows(&mut out, 1, |start, out| {
        let range = start..start + out.len();
        let (gate, up) = (&values(&gate)[range.clone()], &values(&up)[range]);
        vectorized(|| {
            for ((out, &x), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = x * sigmoid(x * (LINEAR + CUBIC * x * x)) * up;
            }
        });
    });
    tensor(out, shape)
}

/// The gradients of [`gated_gelu`] to gate and up.
pub(super) fn gated_gelu_gradients(
    gate: &FlexTensor,
    up: &FlexTensor,
    grad: FlexTensor,
) -> [FlexTensor; 2] {
    let grad = dense(grad);
    let shape = gate.layout().shape().clone();
    let (gate, up, grad) = (values(gate), values(up), values(&grad));
    let mut to_gate = vec![0.0; gate.len()];
    let mut to_up = vec![0.0; gate.len()];
    vectorized(|| {
        let outputs = to_gate.iter_mut().zip(to_up.iter_mut());
        let inputs = gate.iter().zip(up).zip(grad);
        for ((to_gate, to_up), ((&x, &up), &grad)) in outputs.zip(inputs) {
            let square = x * x;
            let share = sigmoid(x * (LINEAR + CUBIC * square));
            let slope = share + x * share * (1.0 - share) * (LINEAR + 3.0 * CUBIC * square);
            *to_gate = grad * up * slope;
            *to_up = grad * x * share;
        }
    });
    [to_gate, to_up].map(|values| tensor(values, shape.clone()))
}

/// GELU with the error function.
pub(super) fn gelu(x: FlexTensor) -> FlexTensor {
    let x = dense(x);
    let shape = x.layout().shape().clone();
    let mut out = vec![0.0; shape.num_elements()];
    for_rows(&mut out, 1, |start, out| {
        let x = &values(&x)[start..start + out.len()];
        vectorized(|| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = 0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2));
            }
        });
    });
    tensor(out, shape)
}

/// The gradient of [`gelu`].
pub(super) fn gelu_gradient(x: &FlexTensor, grad: FlexTensor) -> FlexTensor {
    /// `1 / √(2π)`
    const DENSITY: f32 = 0.398_942_3;
    let grad = dense(grad);
    let shape = x.layout().shape().clone();
    let (x, grad) = (values(x), values(&grad));
    let mut out = vec![0.0; x.len()];
    vectorized(|| {
        for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
            let below = 0.5 * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2));
            *out = grad * (below + x * DENSITY * exp(-0.5 * x * x));
        }
    });
    tensor(out, shape)
}
