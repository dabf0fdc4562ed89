//! Chooses the next token: greedy, temperature, top-k and top-p.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};

/// How a token is chosen from logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// Takes the likeliest token.
    Greedy,
    /// Draws a token from the softmax.
    Random {
        /// Divides the logits.
        temperature: f32,
        /// Keeps only so many of the likeliest tokens, and those as likely as the last of them.
        top_k: Option<usize>,
        /// Keeps of these only the likeliest whose probabilities reach this sum, and those as likely as the last.
        top_p: Option<f32>,
    },
}

impl Sampling {
    /// Returns greedy at temperature zero, else the whole softmax at that temperature.
    pub fn at_temperature(temperature: f32) -> Self {
        if temperature > 0.0 {
            Self::Random {
                temperature,
                top_k: None,
                top_p: None,
            }
        } else {
            Self::Greedy
        }
    }

    /// Chooses a token from its row of logits.
    pub fn choose(self, logits: &[f32], rng: &mut impl Rng) -> usize {
        let Some(weights) = self.weights(logits) else {
            return argmax(logits);
        };
        let total: f32 = weights.iter().sum();
        let mut left = rng.random::<f32>() * total;
        for (token, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        // Rounding left a little over: the last token that has any weight.
        weights
            .iter()
            .rposition(|weight| *weight > 0.0)
            .unwrap_or(0)
    }

    /// Returns how likely each token is to be drawn, as shares of their sum; nothing if the likeliest is taken.
    fn weights(self, logits: &[f32]) -> Option<Vec<f32>> {
        let Self::Random {
            temperature,
            top_k,
            top_p,
        } = self
        else {
            return None;
        };
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut weights: Vec<f32> = logits
            .iter()
            .map(|logit| ((logit - largest) / temperature).exp())
            .collect();
        if let Some(top_k) = top_k {
            leave_out_below(&mut weights, |weights| kth_largest(weights, top_k));
        }
        if let Some(top_p) = top_p
            && top_p < 1.0
        {
            leave_out_below(&mut weights, |weights| last_of_share(weights, top_p));
        }
        Some(weights)
    }
}

/// Sets weights below the smallest kept weight to zero.
fn leave_out_below(weights: &mut [f32], least: impl FnOnce(&[f32]) -> f32) {
    let least = least(weights);
    for weight in weights {
        if *weight < least {
            *weight = 0.0;
        }
    }
}

/// Returns the `k`th largest weight.
fn kth_largest(weights: &[f32], k: usize) -> f32 {
    let mut sorted = weights.to_vec();
    let place = k.clamp(1, sorted.len()) - 1;
    let (_, least, _) = sorted.select_nth_unstable_by(place, |a, b| b.total_cmp(a));
    *least
}

/// Returns the weight at which the sum of the largest weights reaches a share of the whole sum.
fn last_of_share(weights: &[f32], share: f32) -> f32 {
    let total: f32 = weights.iter().sum();
    // The weights below this do not add up to the rest.
    let cut = total * (1.0 - share) / weights.len() as f32;
    let mut sorted: Vec<f32> = weights
        .iter()
        .copied()
        .filter(|weight| *weight >= cut)
        .collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let reaches = |weight: &&f32| {
        sum += **weight;
        sum >= share * total
    };
    sorted.iter().find(reaches).copied().unwrap_or(0.0)
}

/// Chooses a token for every row on the device, as [`Sampling::choose`] does. `shares` has one number per row, drawn from
/// 0 to 1: the cumulative probability at which the token lies. Greedy sampling needs none.
///
/// # Shapes
///
/// - logits: `[rows, vocab_size]`, f32
/// - output: `[rows]`
pub(super) fn choose_on_device(
    logits: Tensor<2>,
    sampling: Sampling,
    shares: Vec<f32>,
) -> Tensor<1, Int> {
    /// Tokens per block of the cumulative sum, so that each running sum is short.
    const BLOCK: usize = 512;
    let [rows, vocab_size] = logits.dims();
    let Sampling::Random {
        temperature,
        top_k,
        top_p,
    } = sampling
    else {
        return logits.argmax(1).reshape([rows]);
    };
    let device = logits.device();
    let largest = logits.clone().max_dim(1);
    let logits = (logits - largest) / temperature;
    let mut weights = logits.clone().exp();
    if let Some(top_k) = top_k {
        let goal = Tensor::full([rows, 1], top_k.clamp(1, vocab_size) as f32, &device);
        let least = least_logit(&logits, &weights.ones_like(), goal);
        weights = weights.mask_fill(logits.clone().lower(least), 0.0);
    }
    if let Some(top_p) = top_p
        && top_p < 1.0
    {
        let goal = weights.clone().sum_dim(1) * top_p.max(f32::MIN_POSITIVE);
        let least = least_logit(&logits, &weights, goal);
        weights = weights.mask_fill(logits.lower(least), 0.0);
    }
    let n_blocks = vocab_size.div_ceil(BLOCK);
    let missing = n_blocks * BLOCK - vocab_size;
    if missing > 0 {
        weights = Tensor::cat(vec![weights, Tensor::zeros([rows, missing], &device)], 1);
    }
    let blocks = weights.reshape([rows * n_blocks, BLOCK]);
    let sums = blocks.clone().sum_dim(1).reshape([rows, n_blocks]);
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [rows, 1]), &device);
    let goal = sums.clone().sum_dim(1) * shares;
    let (block, rest) = reached(sums, goal);
    let first_blocks = Tensor::<1, Int>::arange(0..rows as i64, &device) * n_blocks as i64;
    let chosen = first_blocks + block.clone().reshape([rows]);
    let (token, _) = reached(blocks.select(0, chosen), rest);
    (block * BLOCK as i64 + token).reshape([rows])
}

/// Finds the threshold at which the numbers of the largest logits add up to a goal, or one at most 3e-8 below it.
///
/// A device cannot sort without a copy to the host, so this bisects.
///
/// # Shapes
///
/// - logits: `[rows, n]`, the largest of each row being zero
/// - numbers: `[rows, n]`, not negative
/// - goal and output: `[rows, 1]`
fn least_logit(logits: &Tensor<2>, numbers: &Tensor<2>, goal: Tensor<2>) -> Tensor<2> {
    /// A logit with no weight in the softmax.
    const NONE: f32 = -100.0;
    const HALVINGS: usize = 32; // from 101 to 2.4e-8
    let mut low = Tensor::full_like(&goal, NONE);
    let mut high = Tensor::full_like(&goal, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low.clone() + high.clone()) / 2.0;
        let below = logits.clone().lower(middle.clone());
        let sum = numbers.clone().mask_fill(below, 0.0).sum_dim(1);
        let reached = sum.greater_equal(goal.clone());
        low = low.mask_where(reached.clone(), middle.clone());
        high = middle.mask_where(reached, high);
    }
    low
}

/// Finds where the running sum of each row passes its goal, and what is left of the goal at that place.
///
/// # Shapes
///
/// - weights: `[rows, n]`, not negative
/// - goal and output: `[rows, 1]`
fn reached(weights: Tensor<2>, goal: Tensor<2>) -> (Tensor<2, Int>, Tensor<2>) {
    let [_, n] = weights.dims();
    let ends = weights.clone().cumsum(1);
    // Keep the goal below the total, whatever the rounding.
    let most = ends.clone().narrow(1, n - 1, 1) * (1.0 - 1e-6);
    let goal = goal.min_pair(most).clamp_min(0.0);
    let passed = ends.clone().lower_equal(goal.clone().expand(ends.dims()));
    let place = passed.int().sum_dim(1);
    let before = (ends - weights).gather(1, place.clone());
    (place, goal - before)
}

/// Returns the index of the largest number, the first of equals.
fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best
}

/// Derives a seed for one purpose from the run's seed and numbers that name the purpose.
pub fn seed_for(seed: u64, purpose: &[u64]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for number in purpose {
        hash.update(number.to_le_bytes());
    }
    let digest = hash.finalize();
    u64::from_le_bytes(std::array::from_fn(|byte_idx| digest[byte_idx]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const LOGITS: [f32; 4] = [1.0, 3.0, 2.0, -30.0];

    fn drawn(sampling: Sampling) -> [usize; 4] {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[sampling.choose(&LOGITS, &mut rng)] += 1;
        }
        counts
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(drawn(Sampling::at_temperature(0.0)), [0, 4000, 0, 0]);
    }

    #[test]
    fn temperature_one_draws_from_the_softmax() {
        let counts = drawn(Sampling::at_temperature(1.0)).map(|count| count as f32 / 4000.0);
        for (got, expected) in counts.into_iter().zip([0.090, 0.665, 0.245, 0.0]) {
            assert!((got - expected).abs() < 0.03, "{counts:?}");
        }
    }

    fn random(temperature: f32, top_k: Option<usize>, top_p: Option<f32>) -> Sampling {
        Sampling::Random {
            temperature,
            top_k,
            top_p,
        }
    }

    /// Whether a share lies where two tokens meet, so that the rounding of sums decides which of them it is.
    fn is_between(logits: &[f32], sampling: Sampling, share: f32, tokens: [usize; 2]) -> bool {
        const ROUNDING: f64 = 1e-5;
        let Some(weights) = sampling.weights(logits) else {
            return false;
        };
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        let total: f64 = weights.iter().sum();
        let [first, last] = [tokens[0].min(tokens[1]), tokens[0].max(tokens[1])];
        let up_to_first: f64 = weights[..=first].iter().sum();
        let between: f64 = weights[first + 1..last].iter().sum();
        (up_to_first / total - f64::from(share)).abs() < ROUNDING && between / total < ROUNDING
    }

    #[test]
    fn a_device_chooses_the_tokens_that_the_host_does() {
        let device = Device::default();
        let mut values = ChaCha8Rng::seed_from_u64(5);
        for vocab_size in [1, 4, 511, 2048, 3000] {
            let values = (0..40 * vocab_size).map(|_| values.random_range(-8.0_f32..8.0));
            let logits = TensorData::new(values.collect::<Vec<_>>(), [40, vocab_size]);
            let logits = Tensor::<2>::from_data(logits, &device);
            // One token with no probability, and two that are equally likely.
            let logits = if vocab_size < 4 {
                logits
            } else {
                let equal = logits.clone().narrow(1, 1, 1);
                let logits = logits.slice_fill([0..40, 0..1], f32::NEG_INFINITY);
                logits.slice_assign([0..40, 2..3], equal)
            };
            let rows: Vec<f32> = logits.to_data().try_to_vec().unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(vocab_size as u64);
            for sampling in [
                Sampling::Greedy,
                random(0.5, None, None),
                random(1.0, None, None),
                random(1.0, Some(1), None),
                random(1.0, Some(3), None),
                random(2.0, Some(5000), None),
                random(1.5, None, Some(0.9)),
                random(1.0, None, Some(1.0)),
                random(1.0, None, Some(0.0)),
                random(3.0, Some(40), Some(0.7)),
            ] {
                let mut drawn = rng.clone();
                let shares: Vec<f32> = (0..40).map(|_| drawn.random()).collect();
                let expected: Vec<usize> = rows
                    .chunks_exact(vocab_size)
                    .map(|logits| sampling.choose(logits, &mut rng))
                    .collect();
                let got = choose_on_device(logits.clone(), sampling, shares.clone()).into_data();
                let got = got.iter::<i64>().map(|token| token as usize);
                for (row_idx, (got, expected)) in got.zip(expected).enumerate() {
                    let row = &rows[row_idx * vocab_size..][..vocab_size];
                    let is_same = got == expected
                        || is_between(row, sampling, shares[row_idx], [got, expected]);
                    assert!(
                        is_same,
                        "{sampling:?} of {vocab_size}: {got}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_ends_of_all_weights_are_tokens_that_have_any() {
        let device = Device::default();
        let logits = [f32::MIN, 1.0, f32::MIN, 2.0, f32::MIN].repeat(200);
        let logits = Tensor::<2>::from_data(TensorData::new(logits, [1, 1000]), &device);
        for (share, expected) in [(0.0, 1), (1.0, 998)] {
            let chosen = choose_on_device(logits.clone(), random(1.0, None, None), vec![share]);
            assert_eq!(chosen.into_scalar::<i64>(), expected);
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_unlikely_out() {
        let with = |top_k, top_p| drawn(random(1.0, top_k, top_p));
        assert_eq!(with(Some(1), None), [0, 4000, 0, 0]);
        assert_eq!(with(None, Some(0.5)), [0, 4000, 0, 0]);
        // Of the two that are left, the likelier has a probability of 0.73.
        assert_eq!(with(Some(2), Some(0.7)), [0, 4000, 0, 0]);
        for (top_k, top_p) in [(Some(2), None), (None, Some(0.8)), (Some(2), Some(0.8))] {
            let two = with(top_k, top_p);
            assert!(two[0] == 0 && two[2] > 0, "{two:?}");
        }
    }

    #[test]
    fn what_is_as_likely_as_the_last_of_the_likeliest_takes_part() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for sampling in [random(1.0, Some(1), None), random(1.0, None, Some(0.4))] {
            let mut chosen: Vec<usize> = (0..100)
                .map(|_| sampling.choose(&[2.0, 0.0, 2.0], &mut rng))
                .collect();
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen, [0, 2]);
        }
    }

    #[test]
    fn seeds_for_different_purposes_differ() {
        assert_ne!(seed_for(1, &[0, 1]), seed_for(1, &[1, 0]));
        assert_eq!(seed_for(1, &[0, 1]), seed_for(1, &[0, 1]));
    }
}
