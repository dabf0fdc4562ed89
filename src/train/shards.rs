//! One step's batch in several parts at once.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};

use super::Scalars;
use crate::parallel;

/// Sums the gradients and numbers that `step` gives for every part of a batch, each part's with its weight.
///
/// Every part has leaves of its own on the autodiff tape, so that the parts do not wait for each other. `step` multiplies the
/// loss by the weight before it goes back.
pub(super) fn step_in_parts<M, B>(
    model: &M,
    parts: Vec<(B, f64)>,
    device: &Device,
    step: impl Fn(&M, B, f64) -> (GradientsParams, Scalars) + Sync,
) -> (GradientsParams, Scalars)
where
    M: Module + Sync,
    B: Send,
{
    let device = device.clone().autodiff();
    let results = parallel::map(parts, |(part, weight)| {
        let local = model.clone().fork(&device);
        let (grads, scalars) = step(&local, part, weight);
        (grads, scalars, weight)
    });
    let mut accumulator = GradientsAccumulator::new();
    let mut sum = Scalars::default();
    for (grads, scalars, weight) in results {
        accumulator.accumulate(model, grads);
        sum.examples += scalars.examples;
        for (name, value) in scalars.values {
            match sum.values.iter_mut().find(|(found, _)| *found == name) {
                Some((_, total)) => *total += value * weight,
                None => sum.values.push((name, value * weight)),
            }
        }
    }
    (accumulator.grads(), sum)
}

/// A step that goes back through all of `forward` at once.
pub(super) fn whole_step<M: Module, B>(
    forward: impl Fn(&M, B) -> (Tensor<1>, Scalars) + Sync,
) -> impl Fn(&M, B, f64) -> (GradientsParams, Scalars) + Sync {
    move |model, batch, weight| {
        let (loss, scalars) = forward(model, batch);
        let grads = GradientsParams::from_grads((loss * weight).backward(), model);
        (grads, scalars)
    }
}
