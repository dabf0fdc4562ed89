//! AdamW with PyTorch's names and defaults.

use burn::config::Config;
use burn::optim::{AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::kernels::ops::adamw::{AdamWStep, adamw_step};

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) by PyTorch's names and defaults.
///
/// It is burn's AdamW, except that on a CPU moments and weights are updated in place, on all cores.
#[derive(Config, Debug)]
pub struct AdamW {
    /// Decay rate of the first moment.
    #[config(default = 0.9)]
    pub beta_1: f32,
    /// Decay rate of the second moment.
    #[config(default = 0.999)]
    pub beta_2: f32,
    /// Added to the root of the second moment.
    #[config(default = 1e-8)]
    pub epsilon: f32,
    /// Decoupled weight decay, times the learning rate.
    #[config(default = 0.01)]
    pub weight_decay: f32,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weights: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let (before, moments) = match state {
            Some(AdamWState { momentum }) => {
                (momentum.time, Some([momentum.moment_1, momentum.moment_2]))
            }
            None => (0, None),
        };
        let step = AdamWStep {
            learning_rate: lr,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            time: before + 1,
        };
        let (weights, [moment_1, moment_2]) = adamw_step(weights, grad, moments, step);
        let momentum = AdaptiveMomentumState::new(step.time, moment_1, moment_2);
        (weights, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        burn::optim::AdamW::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::AdamWConfig;
    use burn::tensor::{DType, Device, Distribution, Tolerance};

    #[test]
    fn weights_and_moments_are_those_of_burns_adamw() {
        let device = Device::default();
        device.seed(3);
        let random = || Tensor::<2>::random([300, 150], Distribution::Normal(0.0, 1.0), &device);
        let ours = AdamW::new().with_epsilon(1e-6).with_weight_decay(0.3);
        let burns = AdamWConfig::new()
            .with_beta_1(ours.beta_1)
            .with_beta_2(ours.beta_2)
            .with_epsilon(ours.epsilon)
            .with_weight_decay(ours.weight_decay)
            .build();
        let tolerance = Tolerance::<f32>::absolute(1e-7).set_relative(1e-5);
        for (dtype, is_exact) in [(DType::F32, false), (DType::F64, true), (DType::BF16, true)] {
            let start = random().cast(dtype);
            let (mut here, mut there) = ((start.clone(), None), (start, None));
            for step in 1..=5 {
                let (lr, grad) = (0.01 / f64::from(step), random().cast(dtype));
                here = ours.step(lr, here.0, grad.clone(), here.1);
                there = burns.step(lr, there.0, grad, there.1);
            }
            let [here, there] = [here, there].map(|(weights, state)| {
                let state = state.expect("five steps were made").momentum;
                assert_eq!(state.time, 5);
                [weights, state.moment_1, state.moment_2].map(Tensor::into_data)
            });
            for (here, there) in here.iter().zip(&there) {
                match is_exact {
                    true => here.assert_eq(there, true),
                    false => here.assert_approx_eq(there, tolerance),
                }
            }
        }
    }
}
