//! How the next token is chosen.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, RngExt};

/// The way from logits to a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The likeliest token.
    Greedy,
    /// A token drawn from the softmax.
    Random {
        /// Logits are divided by it.
        temperature: f32,
        /// Only so many of the likeliest tokens take part.
        top_k: Option<usize>,
        /// Only the likeliest tokens whose probabilities reach this sum take part.
        top_p: Option<f32>,
    },
}

impl Sampling {
    /// Greedy at temperature zero, else the whole softmax at that temperature.
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
        let (temperature, top_k, top_p) = match self {
            Self::Greedy => return argmax(logits),
            Self::Random {
                temperature,
                top_k,
                top_p,
            } => (temperature, top_k, top_p),
        };
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut weights: Vec<(usize, f32)> = logits
            .iter()
            .map(|logit| ((logit - largest) / temperature).exp())
            .enumerate()
            .collect();
        if top_k.is_some() || top_p.is_some() {
            weights.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            weights.truncate(top_k.unwrap_or(weights.len()).max(1));
        }
        if let Some(top_p) = top_p {
            let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
            let mut sum = 0.0;
            let kept = weights.iter().take_while(|(_, weight)| {
                let before = sum;
                sum += weight / total;
                before < top_p
            });
            let kept = kept.count().max(1);
            weights.truncate(kept);
        }
        let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.random::<f32>() * total;
        for &(token, weight) in &weights {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        // Rounding left a little over: the last token that has any weight.
        weights
            .iter()
            .rev()
            .find(|(_, weight)| *weight > 0.0)
            .map_or(0, |&(token, _)| token)
    }
}

/// Chooses a token from every row where the logits are: the likeliest, or that behind which a share of all weights lies
/// that was drawn from 0 to 1.
///
/// # Shapes
///
/// - logits: `[rows, vocab_size]`, f32
/// - output: `[rows]`
pub(super) fn choose_on_device(
    logits: Tensor<2>,
    temperature: f32,
    shares: Option<Vec<f32>>,
) -> Tensor<1, Int> {
    /// Tokens that are summed up on their own, so that a running sum is short.
    const BLOCK: usize = 512;
    let [rows, vocab_size] = logits.dims();
    let Some(shares) = shares else {
        return logits.argmax(1).reshape([rows]);
    };
    let device = logits.device();
    let largest = logits.clone().max_dim(1);
    let mut weights = ((logits - largest) / temperature).exp();
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

/// Where the running sum of each row passes its goal, and what of the goal is left for the number there.
///
/// # Shapes
///
/// - weights: `[rows, n]`, not negative
/// - goal and output: `[rows, 1]`
fn reached(weights: Tensor<2>, goal: Tensor<2>) -> (Tensor<2, Int>, Tensor<2>) {
    let [_, n] = weights.dims();
    let ends = weights.clone().cumsum(1);
    // It lies within the sum of all, however that is rounded.
    let most = ends.clone().narrow(1, n - 1, 1) * (1.0 - 1e-6);
    let goal = goal.min_pair(most).clamp_min(0.0);
    let passed = ends.clone().lower_equal(goal.clone().expand(ends.dims()));
    let place = passed.int().sum_dim(1);
    let before = (ends - weights).gather(1, place.clone());
    (place, goal - before)
}

/// The index of the largest number, the first of equals.
fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};
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

    #[test]
    fn a_device_chooses_the_tokens_that_the_host_does() {
        let device = Device::default();
        device.seed(5);
        for vocab_size in [1, 4, 511, 2048, 3000] {
            let normal = Distribution::Normal(0.0, 4.0);
            let logits = Tensor::<2>::random([40, vocab_size], normal, &device);
            let rows: Vec<f32> = logits.to_data().try_to_vec().unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(vocab_size as u64);
            for temperature in [0.0, 0.5, 1.0] {
                let sampling = Sampling::at_temperature(temperature);
                let shares = (temperature > 0.0).then(|| {
                    let mut rng = rng.clone();
                    (0..40).map(|_| rng.random()).collect()
                });
                let expected: Vec<usize> = rows
                    .chunks_exact(vocab_size)
                    .map(|logits| sampling.choose(logits, &mut rng))
                    .collect();
                let got = choose_on_device(logits.clone(), temperature, shares).into_data();
                let got: Vec<usize> = got.iter::<i64>().map(|token| token as usize).collect();
                assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn the_ends_of_all_weights_are_tokens_that_have_any() {
        let device = Device::default();
        let logits = [f32::MIN, 1.0, f32::MIN, 2.0, f32::MIN].repeat(200);
        let logits = Tensor::<2>::from_data(TensorData::new(logits, [1, 1000]), &device);
        for (share, expected) in [(0.0, 1), (1.0, 998)] {
            let chosen = choose_on_device(logits.clone(), 1.0, Some(vec![share]));
            assert_eq!(chosen.into_scalar::<i64>(), expected);
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_unlikely_out() {
        let random = |top_k, top_p| {
            drawn(Sampling::Random {
                temperature: 1.0,
                top_k,
                top_p,
            })
        };
        assert_eq!(random(Some(1), None), [0, 4000, 0, 0]);
        assert_eq!(random(None, Some(0.5)), [0, 4000, 0, 0]);
        let two = random(Some(2), None);
        assert!(two[0] == 0 && two[2] > 0, "{two:?}");
        let two = random(None, Some(0.8));
        assert!(two[0] == 0 && two[2] > 0, "{two:?}");
    }
}
