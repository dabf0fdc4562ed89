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

/// Cuts a batch into parts of texts of about one length, so that the part with most tokens, padding included, has as few
/// as can be; each part holds indices of `lengths`.
pub(super) fn even_parts(lengths: &[usize], n_parts: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&idx| std::cmp::Reverse(lengths[idx]));
    let cut = |most_tokens: usize| {
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for &idx in &order {
            match parts.last_mut() {
                Some(part) if (part.len() + 1) * lengths[part[0]] <= most_tokens => part.push(idx),
                _ => parts.push(vec![idx]),
            }
        }
        parts
    };
    let counts = 1..=lengths.len();
    let mut sizes: Vec<usize> = counts
        .flat_map(|count| lengths.iter().map(move |length| count * length))
        .collect();
    sizes.sort_unstable();
    let enough = sizes.partition_point(|&most_tokens| cut(most_tokens).len() > n_parts);
    sizes.get(enough).map_or(Vec::new(), |&most| cut(most))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_apart_from_short_ones_and_no_part_has_much_more_tokens() {
        let parts = even_parts(&[50, 150, 60, 140, 80, 120, 90, 100], 2);
        assert_eq!(parts, [vec![1, 3, 5], vec![7, 6, 4, 2, 0]]); // 450 and 500 tokens
    }

    #[test]
    fn there_are_no_more_parts_than_texts() {
        assert_eq!(even_parts(&[7, 9], 4), [vec![1], vec![0]]);
        assert!(even_parts(&[], 4).is_empty());
    }
}
