//! Data parallelism: one step's batch in several parts at once.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::parallel::Devices;
use crate::train::Scalars;

/// Sums the gradients and numbers that `step` returns for every part of a batch, weighted by the part's weight.
///
/// There is one model per device, the first being the one that is trained; each is moved to its device first. Every worker
/// has its own leaves on the autodiff tape, so that workers do not wait for each other, and runs its parts in order; the
/// gradients are summed on the first device. `step` multiplies the loss by the weight before the backward pass.
pub(super) fn step_in_parts<M, B>(
    models: &[M],
    devices: &Devices,
    parts: Vec<(B, f64)>,
    step: impl Fn(&M, B, f64) -> (GradientsParams, Scalars) + Sync,
) -> (GradientsParams, Scalars)
where
    M: Module + Sync,
    B: Send,
{
    let n_workers = devices.workers().min(parts.len());
    let places = models.iter().zip(devices.iter()).cycle();
    let mut workers: Vec<(M, Vec<(B, f64)>)> = places
        .take(n_workers)
        .map(|(model, device)| (model.clone().fork(&device.clone().autodiff()), Vec::new()))
        .collect();
    for (part_idx, part) in parts.into_iter().enumerate() {
        workers[part_idx % n_workers].1.push(part);
    }
    let results = devices.map(workers, |(local, parts)| {
        let mut sum = Sum::default();
        for (part, weight) in parts {
            let (grads, scalars) = step(&local, part, weight);
            sum.add(&local, grads, scalars, weight);
        }
        (sum.grads, sum.scalars)
    });
    let mut sum = Sum::default();
    for (grads, scalars) in results {
        let grads = grads.to_device(devices.first(), &models[0]);
        sum.add(&models[0], grads, scalars, 1.0);
    }
    (sum.grads, sum.scalars)
}

/// Gradients and numbers of some parts.
#[derive(Default)]
struct Sum {
    grads: GradientsParams,
    scalars: Scalars,
}

impl Sum {
    /// Adds those of one more part, whose gradients have their weight already.
    fn add<M: Module>(&mut self, model: &M, grads: GradientsParams, scalars: Scalars, weight: f64) {
        add_gradients(model, &mut self.grads, grads);
        self.scalars.examples += scalars.examples;
        for (name, value) in scalars.values {
            let sums = &mut self.scalars.values;
            match sums.iter_mut().find(|(found, _)| *found == name) {
                Some((_, sum)) => *sum += value * weight,
                None => sums.push((name, value * weight)),
            }
        }
    }
}

/// Adds gradients to those of the same parameters in place; burn's own accumulator allocates each sum.
pub(super) fn add_gradients<M: Module>(
    model: &M,
    sum: &mut GradientsParams,
    grads: GradientsParams,
) {
    model.visit(&mut AddGradients { sum, grads });
}

struct AddGradients<'a> {
    sum: &'a mut GradientsParams,
    grads: GradientsParams,
}

impl ModuleVisitor for AddGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            let sum = match self.sum.remove::<D>(param.id) {
                Some(sum) => sum + grad,
                None => grad,
            };
            self.sum.register(param.id, sum);
        }
    }
}

/// Splits a batch into parts of similar text lengths such that the largest part, in tokens with padding, is as small as
/// possible; each part holds indices of `lengths`.
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

/// Splits texts into `n_parts` of about equal numbers of tokens; each part holds indices of `lengths`.
pub(super) fn balanced_parts(lengths: &[usize], n_parts: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&idx| std::cmp::Reverse(lengths[idx]));
    let mut parts = vec![(0, Vec::new()); n_parts.min(lengths.len())];
    for idx in order {
        // The longest text left goes to the part with the fewest tokens.
        if let Some((tokens, part)) = parts.iter_mut().min_by_key(|(tokens, _)| *tokens) {
            *tokens += lengths[idx];
            part.push(idx);
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Makes a step with one backward pass through all of `forward`.
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
        assert_eq!(balanced_parts(&[7, 9], 4), [vec![1], vec![0]]);
        assert!(balanced_parts(&[], 4).is_empty());
    }

    #[test]
    fn texts_of_any_length_are_shared_out_so_that_all_parts_have_about_as_many_tokens() {
        let parts = balanced_parts(&[300, 200, 150, 210, 140], 2);
        assert_eq!(parts, [vec![0, 2], vec![3, 1, 4]]); // 450 and 550 tokens
        let parts = balanced_parts(&[100, 90, 60, 50], 2);
        assert_eq!(parts, [vec![0, 3], vec![1, 2]]);
    }
}
