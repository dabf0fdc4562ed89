//! The parts of AdamW's step.

use burn::backend::flex::FlexTensor;

use crate::kernels::AdamWStep;
use crate::kernels::simd::{change_rows, dense, values, vectorized};

/// `beta · mean + (1 − beta) · x`, or of its square.
pub(crate) fn moving_mean(mean: FlexTensor, x: FlexTensor, beta: f32, squared: bool) -> FlexTensor {
    let x = dense(x);
    let x = values(&x);
    change_rows(mean, 1, |start, mean| {
        let x = &x[start..start + mean.len()];
        vectorized(
            #[inline(always)]
            || {
                for (mean, &x) in mean.iter_mut().zip(x) {
                    let x = if squared { x * x } else { x };
                    *mean = beta * *mean + (1.0 - beta) * x;
                }
            },
        );
    })
}

/// `keep · weights − rate · moment_1 / (√(correction · moment_2) + epsilon)`
pub(crate) fn update(
    weights: FlexTensor,
    moment_1: FlexTensor,
    moment_2: FlexTensor,
    step: AdamWStep,
) -> FlexTensor {
    let (moment_1, moment_2) = (dense(moment_1), dense(moment_2));
    let (moment_1, moment_2) = (values(&moment_1), values(&moment_2));
    change_rows(weights, 1, |start, weights| {
        let range = start..start + weights.len();
        let moments = moment_1[range.clone()].iter().zip(&moment_2[range]);
        vectorized(
            #[inline(always)]
            || {
                for (weight, (&first, &second)) in weights.iter_mut().zip(moments) {
                    let deviation = (step.correction * second).sqrt() + step.epsilon;
                    *weight = step.keep * *weight - step.rate * first / deviation;
                }
            },
        );
    })
}
