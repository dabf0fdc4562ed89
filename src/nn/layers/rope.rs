//! Rotary positions in the rotate-half layout.

use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, assert_shape};

use crate::kernels::ops;
use crate::nn::config::InvalidConfig;
use crate::nn::layers::attention::prompt_starts;

/// How the frequencies of rotary angles differ from those of RoPE as it was published (Su et al., arXiv 2104.09864).
///
/// Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/modeling_rope_utils.py>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", tag = "rope_type", rename_all = "snake_case")]
pub enum RopeType {
    /// Not at all.
    #[default]
    Default,
    /// All are divided by a factor, so that positions are closer together.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// The low ones are divided by a factor and the high ones are not, with a smooth passage between them, as in Llama 3.1.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Frequencies with fewer turns than this in the original context are divided by the whole factor.
        low_freq_factor: f64,
        /// Those with more turns than this in it stay as they are.
        high_freq_factor: f64,
        /// The original context, in tokens.
        original_max_position_embeddings: f64,
    },
    /// A part of each head turns, the rest stays as it is, as in Gemma 4.
    Proportional {
        /// How large that part is.
        partial_rotary_factor: f64,
    },
}

/// What rotary angles are computed from, by the names of `config.json`.
#[derive(Config, Copy, Debug, PartialEq)]
pub struct RopeParameters {
    /// The base of the frequencies.
    pub rope_theta: f64,
    /// How they are changed.
    #[config(default = "RopeType::Default")]
    pub rope_type: RopeType,
}

impl RopeParameters {
    /// Fails, naming the field, if no angles can be computed.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        let mut numbers = vec![("rope_theta", self.rope_theta)];
        match self.rope_type {
            RopeType::Default => {}
            RopeType::Linear { factor } => numbers.push(("factor", factor)),
            RopeType::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => numbers.extend([
                ("factor", factor),
                ("low_freq_factor", low_freq_factor),
                // The passage between both has to have a length.
                (
                    "high_freq_factor - low_freq_factor",
                    high_freq_factor - low_freq_factor,
                ),
                ("original_max_position_embeddings", original),
            ]),
            RopeType::Proportional {
                partial_rotary_factor: part,
            } => {
                numbers.push(("partial_rotary_factor", part));
                if part > 1.0 {
                    return Err(InvalidConfig::new(format!(
                        "partial_rotary_factor is {part}, but must be at most 1"
                    )));
                }
            }
        }
        let is_wrong = |number: f64| !(number.is_finite() && number > 0.0);
        match numbers.into_iter().find(|(_, number)| is_wrong(*number)) {
            None => Ok(()),
            Some((name, number)) => Err(InvalidConfig::new(format!(
                "{name} is {number}, but must be a finite number above 0"
            ))),
        }
    }

    /// The angle of position 1 in each pair of dimensions, `head_dim / 2` of them.
    pub(crate) fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        let half = head_dim / 2;
        let turning = match self.rope_type {
            RopeType::Proportional {
                partial_rotary_factor: part,
            } => half.min((part * head_dim as f64 / 2.0).floor() as usize),
            _ => half,
        };
        let frequency = |i: usize| {
            if i >= turning {
                return 0.0;
            }
            self.changed(1.0 / self.rope_theta.powf(2.0 * i as f64 / head_dim as f64))
        };
        (0..half).map(frequency).collect()
    }

    fn changed(&self, frequency: f64) -> f64 {
        match self.rope_type {
            RopeType::Default | RopeType::Proportional { .. } => frequency,
            RopeType::Linear { factor } => frequency / factor,
            RopeType::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => {
                let turns = original * frequency / std::f64::consts::TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            }
        }
    }
}

/// The cosines and sines of a batch's positions, computed once per forward pass.
///
/// The halves of a head are rotated against each other (dimension `i` with `i + head_dim/2`), as in Hugging Face's
/// checkpoints, not neighbouring pairs as in [`burn::nn::RotaryEncoding`].
#[derive(Clone, Debug)]
pub struct Rope {
    cos: Tensor<4>, // [batch, 1, seq, head_dim / 2]
    sin: Tensor<4>,
}

impl Rope {
    /// Computes the angles in f32 and casts their cosines and sines to `dtype`.
    ///
    /// # Shapes
    ///
    /// - positions: `[batch, seq]`
    pub fn new(
        positions: Tensor<2, Int>,
        head_dim: usize,
        parameters: &RopeParameters,
        dtype: DType,
    ) -> Self {
        let frequencies = parameters.frequencies(head_dim).into_iter();
        let frequencies: Vec<f32> = frequencies.map(|frequency| frequency as f32).collect();
        let device = positions.device();
        let frequencies = Tensor::<4>::from_data(
            TensorData::new(frequencies, [1, 1, 1, head_dim / 2]),
            (&device, DType::F32),
        );
        let positions = positions
            .float()
            .cast(DType::F32)
            .unsqueeze_dim::<3>(1)
            .unsqueeze_dim::<4>(3);
        let angles = positions * frequencies; // [batch, 1, seq, head_dim / 2]
        Self {
            cos: angles.clone().cos().cast(dtype),
            sin: angles.sin().cast(dtype),
        }
    }

    /// The cosines and sines, `[batch, 1, seq, head_dim / 2]`.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) fn angles(&self) -> [Tensor<4>; 2] {
        [self.cos.clone(), self.sin.clone()]
    }

    /// Splits tokens into heads and rotates them.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, seq, heads · head_dim]`
    /// - output: `[batch, heads, seq, head_dim]`
    pub(crate) fn split(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        let [batch, seq, width] = x.dims();
        let x = x.reshape([batch, seq, heads, width / heads]);
        ops::rotate_heads(x, &self.cos, &self.sin)
    }

    /// Rotates the halves of each head against each other.
    ///
    /// # Shapes
    ///
    /// - x and output: `[batch, heads, seq, head_dim]`
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, half] = self.cos.dims();
        assert_shape!(x, [_, _, _, 2 * half]);
        ops::rotate(x, &self.cos, &self.sin)
    }
}

/// Computes positions that count each prompt's real tokens from zero; padding gets zero.
///
/// A reply's positions continue from the end of the prompt before it, so that two replies packed after one prompt both
/// start there. Segments are those of [`attention_mask`](crate::nn::attention_mask).
///
/// # Shapes
///
/// - segments: `batch` rows of `seq`
/// - output: `[batch, seq]`
pub fn position_ids(segments: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    let seq = segments.first().map_or(0, Vec::len);
    let positions = positions(segments);
    Tensor::from_data(TensorData::new(positions, [segments.len(), seq]), device)
}

/// The same as plain numbers, row after row.
pub(crate) fn positions(segments: &[Vec<i32>]) -> Vec<i32> {
    let mut positions = Vec::new();
    for row in segments {
        let (mut prompt_end, mut next, mut before) = (0, 0, 1);
        for (column, (&segment, start)) in row.iter().zip(prompt_starts(row)).enumerate() {
            if segment == 0 {
                positions.push(0);
                continue;
            }
            if column == start {
                next = 0;
            } else if segment > 1 && segment != before {
                next = prompt_end;
            }
            positions.push(next);
            next += 1;
            if segment == 1 {
                prompt_end = next;
            }
            before = segment;
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_skip_padding_and_restart_with_every_prompt_and_behind_it() {
        let rows = [
            vec![0, 0, 1, 1, 1, 0, 0],
            vec![1, 1, 2, 2, 3, 0, 0],
            vec![1, 1, 2, 3, 1, 2, 3],
        ];
        let expected = TensorData::from([
            [0, 0, 0, 1, 2, 0, 0],
            [0, 1, 2, 3, 2, 0, 0],
            [0, 1, 2, 2, 0, 1, 1],
        ]);
        let positions = position_ids(&rows, &Device::default());
        positions.into_data().assert_eq(&expected, false);
    }

    fn rope(position: i32, device: &Device) -> Rope {
        let positions = Tensor::from_ints([[position]], device);
        Rope::new(positions, 4, &RopeParameters::new(10_000.0), DType::F32)
    }

    #[test]
    fn position_zero_is_left_as_it_is() {
        let device = Device::default();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &device);
        let rope = rope(0, &device);
        rope.apply(x.clone())
            .into_data()
            .assert_eq(&x.into_data(), true);
    }

    #[test]
    fn the_halves_of_a_head_turn_against_each_other() {
        let device = Device::default();
        let x = Tensor::<4>::from_floats([[[[1.0, 0.0, 0.0, 0.0]]]], &device);
        let rope = rope(1, &device);
        let expected = TensorData::from([[[[1.0f32.cos(), 0.0, 1.0f32.sin(), 0.0]]]]);
        rope.apply(x)
            .into_data()
            .assert_approx_eq::<f32>(&expected, burn::tensor::Tolerance::absolute(1e-6));
    }

    // As transformers 5.23 computes them.
    #[test]
    fn frequencies_are_stretched_and_left_out_as_in_transformers() {
        let base = RopeParameters::new(10_000.0);
        let of = |rope_type| base.with_rope_type(rope_type).frequencies(8);
        let near = |found: Vec<f64>, expected: [f64; 4]| {
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-7, "{found}, not {expected}");
            }
        };
        near(of(RopeType::Default), [1.0, 0.1, 0.01, 0.001]);
        near(
            of(RopeType::Linear { factor: 8.0 }),
            [0.125, 0.0125, 0.00125, 0.000125],
        );
        let half = RopeType::Proportional {
            partial_rotary_factor: 0.5,
        };
        near(of(half), [1.0, 0.1, 0.0, 0.0]);
        let llama = RopeType::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 128.0,
        };
        near(of(llama), [1.0, 0.042_751_196, 0.00125, 0.000125]);
    }
}
