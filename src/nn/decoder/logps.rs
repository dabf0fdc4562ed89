//! Log-probabilities of tokens without all logits at once.

use burn::tensor::{Bool, DType, Int, Tensor};

use crate::kernels::ops::{linear, masked_softmax};
use crate::nn::layers::weight::Weight;
use crate::nn::matmul;

/// Computes the log-probability of each target after its hidden state, in f32, with the logits of `size` rows at a time.
///
/// The logits are not kept for the backward pass: the gradient `head[target] − softmax(logits)·head` of each
/// log-probability is computed while they are at hand. The head itself gets no gradient. With a cap, logits are
/// `softcap · tanh(logit / softcap)`, and each row of the head counts with the slope of that at its logit.
///
/// # Shapes
///
/// - head: `[vocab_size, hidden_size]`; if it is kept in a few bits, no more than a part of it is dense at a time
/// - hidden: `[rows, hidden_size]`
/// - targets and output: `[rows]`
pub(crate) fn token_logps(
    head: &Weight<2>,
    softcap: Option<f64>,
    hidden: Tensor<2>,
    targets: Tensor<1, Int>,
    size: usize,
) -> Tensor<1> {
    /// Numbers of the head that are dense at a time.
    const PART: usize = 1 << 26;
    let [vocab_size, _] = head.shape();
    let dtype = hidden.dtype();
    let parts_of_head = || {
        let parts = head.parts(PART);
        parts.map(|(range, part)| (range, part.without_autodiff()))
    };
    let [n_rows, _] = hidden.dims();
    let is_tracked = hidden.is_tracked();
    let states = hidden.clone().without_autodiff();
    let nothing = Tensor::<4, Bool>::full([1, 1, 1, vocab_size], false, &hidden.device().inner());
    let (mut logps, mut slopes) = (Vec::new(), Vec::new());
    let parts = states
        .split(size, 0)
        .into_iter()
        .zip(targets.split(size, 0));
    for (states, targets) in parts {
        let [rows, _] = states.dims();
        let logits = parts_of_head().map(|(_, part)| linear(states.clone(), part).cast(DType::F32));
        let mut logits = match &logits.collect::<Vec<_>>()[..] {
            [whole] => whole.clone(),
            parts => Tensor::cat(parts.to_vec(), 1),
        };
        let mut slope = None;
        if let Some(cap) = softcap {
            let share = (logits * (1.0 / cap)).tanh();
            slope = is_tracked.then(|| -share.clone().square() + 1.0);
            logits = share * cap;
        }
        let chosen = logits.clone().gather(1, targets.clone().reshape([rows, 1]));
        let largest = logits.clone().max_dim(1);
        let logits = logits.reshape([1, 1, rows, vocab_size]);
        let shares = masked_softmax(logits, &nothing, 1.0).reshape([rows, vocab_size]);
        let log_sum = largest - shares.clone().max_dim(1).log();
        logps.push((chosen - log_sum).reshape([rows]));
        if is_tracked {
            let chosen = head.rows(targets.clone().unsqueeze()).without_autodiff();
            let (mut chosen, mut shares) = (chosen.flatten::<2>(0, 1), shares);
            if let Some(slope) = slope {
                let at_targets = slope.clone().gather(1, targets.reshape([rows, 1]));
                chosen = chosen * at_targets.cast(dtype);
                shares = shares * slope;
            }
            let shares = shares.cast(dtype);
            let means = parts_of_head().map(|(range, part)| {
                matmul(shares.clone().narrow(1, range.start, range.len()), part)
            });
            let mean = means
                .reduce(|a, b| a + b)
                .unwrap_or_else(|| chosen.zeros_like());
            slopes.push(chosen - mean);
        }
    }
    let logps = Tensor::cat(logps, 0);
    if !is_tracked {
        return logps;
    }
    // Its value is zero, its gradient that of the log-probabilities.
    let along = (hidden * Tensor::cat(slopes, 0))
        .cast(DType::F32)
        .sum_dim(1);
    let along: Tensor<1> = along.reshape([n_rows]);
    logps + (along.clone() - along.detach())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::int8::Int8;
    use burn::tensor::{Device, Distribution, Tolerance, activation};

    #[test]
    fn log_probabilities_without_all_logits_are_those_of_the_softmax_and_so_are_their_gradients() {
        let device = Device::default();
        device.seed(3);
        let head = Tensor::<2>::random([40, 16], Distribution::Normal(0.0, 0.3), &device);
        let hidden = Tensor::<2>::random([6, 16], Distribution::Normal(0.0, 2.0), &device);
        let targets = Tensor::<1, Int>::from_ints([3, 39, 0, 7, 7, 20], &device);
        let weights = Tensor::<1>::from_floats([1.0, -2.0, 0.5, 3.0, 0.0, 1.5], &device);
        let values: Vec<f32> = head.clone().into_data().iter().collect();
        let int8 = Int8::from_values(&values, [40, 16], DType::F32, &device);
        let in_int8 = int8.dequantize();
        for (softcap, weight, head) in [
            (None, Weight::frozen(head.clone()), head.clone()),
            (Some(2.0), Weight::frozen(head.clone()), head),
            (Some(2.0), Weight::int8(int8), in_int8),
        ] {
            let plain = |hidden: Tensor<2>| {
                let mut logits = hidden.matmul(head.clone().transpose());
                if let Some(cap) = softcap {
                    logits = (logits * (1.0 / cap)).tanh() * cap;
                }
                let logps = activation::log_softmax(logits, 1);
                logps
                    .gather(1, targets.clone().reshape([6, 1]))
                    .reshape([6])
            };
            let ours = |hidden, size| token_logps(&weight, softcap, hidden, targets.clone(), size);
            let gradient = |logps: &dyn Fn(Tensor<2>) -> Tensor<1>| {
                let hidden = hidden.clone().autodiff().require_grad();
                let logps = logps(hidden.clone());
                let values = logps.clone().without_autodiff().into_data();
                let grads = (logps * weights.clone()).sum().backward();
                let gradient = hidden.grad(&grads).expect("the hidden states are tracked");
                (values, gradient.into_data())
            };
            let (values, slopes) = gradient(&|hidden| ours(hidden, 4));
            let (plain_values, plain_slopes) = gradient(&plain);
            let tolerance = Tolerance::<f32>::absolute(1e-5);
            values.assert_approx_eq(&plain_values, tolerance);
            slopes.assert_approx_eq(&plain_slopes, tolerance);
            for size in [4, 100] {
                let logps = ours(hidden.clone(), size).into_data();
                logps.assert_approx_eq(&plain_values, tolerance);
            }
        }
    }
}
