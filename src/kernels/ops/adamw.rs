//! One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) on one parameter.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::supports;

/// Settings of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamWStep {
    /// Learning rate of this step.
    pub(crate) learning_rate: f64,
    /// Decay of the first moment.
    pub(crate) beta_1: f32,
    /// Decay of the second moment.
    pub(crate) beta_2: f32,
    /// Added to the square root of the second moment.
    pub(crate) epsilon: f32,
    /// Decay of the weights, times the learning rate.
    pub(crate) weight_decay: f32,
    /// Number of this step, from one.
    pub(crate) time: usize,
}

impl AdamWStep {
    /// Bias correction of a moment, `1 − βᵗ`.
    fn correction(&self, beta: f32) -> f32 {
        1.0 - beta.powi(self.time as i32)
    }
}

/// Updates the moments and the weights; returns the weights and both moments.
///
/// Nothing is recorded on the tape. On a CPU all three change in place where their buffers are not shared.
pub(crate) fn adamw_step<const D: usize>(
    weights: Tensor<D>,
    grad: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
    step: AdamWStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    if !supports(&weights) || !supports(&grad) {
        return plain(weights, grad, moments, step);
    }
    let moments = moments.unwrap_or_else(|| [grad.zeros_like(), grad.zeros_like()]);
    let [moment_1, moment_2] = moments.map(|x| x.without_autodiff().into_dispatch());
    let [weights, grad] = [weights, grad].map(|x| x.without_autodiff().into_dispatch());
    let moment_1 = Dispatch::moving_mean(moment_1, grad.clone(), step.beta_1, false);
    let moment_2 = Dispatch::moving_mean(moment_2, grad, step.beta_2, true);
    let weights = Dispatch::adamw_update(weights, moment_1.clone(), moment_2.clone(), step);
    let moments = [moment_1, moment_2].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(weights), moments)
}

/// The operations of burn's AdamW, in its order.
fn plain<const D: usize>(
    weights: Tensor<D>,
    grad: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
    step: AdamWStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let new = [
        grad.clone().mul_scalar(1.0 - step.beta_1),
        grad.square().mul_scalar(1.0 - step.beta_2),
    ];
    let moments = match (moments, new) {
        (None, new) => new,
        (Some([moment_1, moment_2]), [new_1, new_2]) => [
            moment_1.mul_scalar(step.beta_1).add(new_1),
            moment_2.mul_scalar(step.beta_2).add(new_2),
        ],
    };
    let [moment_1, moment_2] = moments.clone();
    let moment_1 = moment_1.div_scalar(step.correction(step.beta_1));
    let moment_2 = moment_2.div_scalar(step.correction(step.beta_2));
    let delta = moment_1.div(moment_2.sqrt().add_scalar(step.epsilon));
    let decay = step.learning_rate * f64::from(step.weight_decay);
    let weights = if decay == 0.0 {
        weights
    } else {
        weights.mul_scalar(1.0 - decay)
    };
    (weights - delta.mul_scalar(step.learning_rate), moments)
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait AdamW: Backend {
    /// `beta · mean + (1 − beta) · x`, or of the square of `x`.
    fn moving_mean(
        mean: FloatTensor<Self>,
        x: FloatTensor<Self>,
        beta: f32,
        squared: bool,
    ) -> FloatTensor<Self>;

    fn adamw_update(
        weights: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        step: AdamWStep,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};

    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tensors::{change_rows, dense, values};
    use crate::kernels::ops::adamw::AdamWStep;

    impl super::AdamW for Flex {
        fn moving_mean(mean: FlexTensor, x: FlexTensor, beta: f32, squared: bool) -> FlexTensor {
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

        fn adamw_update(
            weights: FlexTensor,
            moment_1: FlexTensor,
            moment_2: FlexTensor,
            step: AdamWStep,
        ) -> FlexTensor {
            // `1 − learning rate · weight decay`
            let keep = (1.0 - step.learning_rate * f64::from(step.weight_decay)) as f32;
            // Step size and second moment with their bias corrections.
            let rate = step.learning_rate as f32 / step.correction(step.beta_1);
            let correction = 1.0 / step.correction(step.beta_2);
            let epsilon = step.epsilon;
            let (moment_1, moment_2) = (dense(moment_1), dense(moment_2));
            let (moment_1, moment_2) = (values(&moment_1), values(&moment_2));
            change_rows(weights, 1, |start, weights| {
                let range = start..start + weights.len();
                let moments = moment_1[range.clone()].iter().zip(&moment_2[range]);
                vectorized(
                    #[inline(always)]
                    || {
                        for (weight, (&first, &second)) in weights.iter_mut().zip(moments) {
                            let deviation = (correction * second).sqrt() + epsilon;
                            *weight = keep * *weight - rate * first / deviation;
                        }
                    },
                );
            })
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn the_loop_equals_the_plain_expression() {
        let device = Device::default();
        let start: Tensor<2> = noise([300, 150], 1, &device);
        let (mut here, mut there) = ((start.clone(), None), (start, None));
        for time in 1..=5 {
            let step = AdamWStep {
                learning_rate: 0.01 / time as f64,
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-6,
                weight_decay: 0.3,
                time,
            };
            let grad = noise([300, 150], 1 + time as u32, &device);
            let after = adamw_step(here.0, grad.clone(), here.1, step);
            here = (after.0, Some(after.1));
            let after = plain(there.0, grad, there.1, step);
            there = (after.0, Some(after.1));
        }
        let [here, there] = [here, there].map(|(weights, moments)| {
            let [moment_1, moment_2] = moments.expect("five steps were made");
            [weights, moment_1, moment_2]
        });
        for (here, there) in here.into_iter().zip(there) {
            let tolerance = Tolerance::<f32>::absolute(1e-7).set_relative(1e-5);
            here.into_data()
                .assert_approx_eq(&there.into_data(), tolerance);
        }
    }
}
