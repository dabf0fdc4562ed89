//! AdamW as PyTorch has it.

use burn::config::Config;
use burn::optim::{AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::kernels::{self, AdamWStep};

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) by PyTorch's names and defaults.
///
/// It is burn's, except that on a CPU moments and weights change where they lie, on all cores.
#[derive(Config, Debug)]
pub struct AdamW {
    /// How much of the first moment stays.
    #[config(default = 0.9)]
    pub beta_1: f32,
    /// How much of the second moment stays.
    #[config(default = 0.999)]
    pub beta_2: f32,
    /// Added to the root of the second moment.
    #[config(default = 1e-8)]
    pub epsilon: f32,
    /// What the weights lose in a step, times the learning rate.
    #[config(default = 0.01)]
    pub weight_decay: f32,
}

impl AdamW {
    fn plain(&self) -> burn::optim::AdamW {
        AdamWConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .with_weight_decay(self.weight_decay)
            .build()
    }
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
        if !kernels::serves(&weights) || !kernels::serves(&grad) {
            return self.plain().step(lr, weights, grad, state);
        }
        let state = state.map_or_else(
            || AdaptiveMomentumState::new(0, grad.zeros_like(), grad.zeros_like()),
            |state| state.momentum,
        );
        let time = state.time + 1;
        let moment_1 = kernels::moving_mean(state.moment_1, grad.clone(), self.beta_1, false);
        let moment_2 = kernels::moving_mean(state.moment_2, grad, self.beta_2, true);
        let lacks = |beta: f32| 1.0 - beta.powi(time as i32);
        let step = AdamWStep {
            keep: (1.0 - lr * f64::from(self.weight_decay)) as f32,
            rate: lr as f32 / lacks(self.beta_1),
            correction: 1.0 / lacks(self.beta_2),
            epsilon: self.epsilon,
        };
        let weights = kernels::adamw_update(weights, moment_1.clone(), moment_2.clone(), step);
        let momentum = AdaptiveMomentumState::new(time, moment_1, moment_2);
        (weights, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        burn::optim::AdamW::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn weights_and_moments_are_those_of_burns_adamw() {
        let device = Device::default();
        device.seed(3);
        let random = || Tensor::<2>::random([300, 150], Distribution::Normal(0.0, 1.0), &device);
        let ours = AdamW::new().with_epsilon(1e-6).with_weight_decay(0.3);
        let start = random();
        let (mut here, mut there) = ((start.clone(), None), (start, None));
        for step in 1..=5 {
            let (lr, grad) = (0.01 / f64::from(step), random());
            here = ours.step(lr, here.0, grad.clone(), here.1);
            there = ours.plain().step(lr, there.0, grad, there.1);
        }
        let [here, there] = [here, there].map(|(weights, state)| {
            let state = state.expect("five steps were made").momentum;
            assert_eq!(state.time, 5);
            [weights, state.moment_1, state.moment_2]
        });
        for (here, there) in here.into_iter().zip(there) {
            let tolerance = Tolerance::<f32>::absolute(1e-7).set_relative(1e-5);
            here.into_data()
                .assert_approx_eq(&there.into_data(), tolerance);
        }
    }
}
