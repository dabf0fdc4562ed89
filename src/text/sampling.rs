//! How the next token is chosen.

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
