//! Dropout of each training step, from one seed.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::nn::Dropout;

/// Gives each part of each step its own random source, so that a resumed run draws the same as an uninterrupted one.
#[derive(Debug)]
pub struct StepDropout {
    seed: u64,
    step: AtomicU64,
}

impl StepDropout {
    /// Makes the sources for the steps after the first `steps_done`.
    pub fn new(seed: u64, steps_done: usize) -> Self {
        Self {
            seed,
            step: AtomicU64::new(steps_done as u64),
        }
    }

    /// The sources of the parts of the next step.
    pub(super) fn next(&self) -> impl Iterator<Item = Dropout> + use<> {
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        let seed = self.seed;
        (0..).map(move |part: u64| seeded(seed, step << 16 | part))
    }
}

/// A source that draws from a stream of a seed.
fn seeded(seed: u64, stream: u64) -> Dropout {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    Dropout::new(move |count, probability| factors(&mut rng, count, probability))
}

fn factors(rng: &mut ChaCha8Rng, count: usize, probability: f64) -> Vec<f32> {
    let dropped = (probability * 2f64.powi(32)) as u32;
    let kept = (1.0 / (1.0 - probability)) as f32;
    (0..count)
        .map(|_| if rng.next_u32() < dropped { 0.0 } else { kept })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ClassifierInput, DebertaConfig};
    use burn::tensor::Device;

    #[test]
    fn each_part_of_each_step_drops_other_values_and_a_later_start_the_same() {
        let device = Device::default();
        let model = DebertaConfig::deberta_v3_base()
            .with_vocab_size(20)
            .with_hidden_size(8)
            .with_intermediate_size(16)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(2)
            .with_num_labels(3)
            .init(&device);
        let logits = |dropout: Option<Dropout>| -> Vec<f32> {
            let input = ClassifierInput::new(&[vec![1, 2, 3]], 0, &device).with_dropout(dropout);
            model.forward(input).into_data().try_to_vec().unwrap()
        };
        let step = |source: &StepDropout| -> Vec<Vec<f32>> {
            let parts = source.next().take(2);
            parts.map(|part| logits(Some(part))).collect()
        };
        let whole = StepDropout::new(7, 0);
        let (first, second) = (step(&whole), step(&whole));
        assert_eq!(step(&StepDropout::new(7, 1)), second);
        let all = [&first[0], &first[1], &second[0], &second[1], &logits(None)];
        for (idx, one) in all.iter().enumerate() {
            assert!(all[..idx].iter().all(|other| other != one), "{all:?}");
        }
    }

    #[test]
    fn as_many_are_dropped_as_asked_for_and_the_mean_stays() {
        let factors = factors(&mut ChaCha8Rng::seed_from_u64(0), 100_000, 0.1);
        let dropped = factors.iter().filter(|factor| **factor == 0.0).count();
        assert!((9_700..10_300).contains(&dropped), "{dropped}");
        let mean = factors.iter().sum::<f32>() / factors.len() as f32;
        assert!((mean - 1.0).abs() < 5e-3, "{mean}");
    }
}
