//! Rotary positions in the rotate-half layout.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, assert_shape};

use crate::kernels::ops;
use crate::nn::layers::attention::prompt_starts;

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
    /// Computes the angles in f32 and casts their cosines and sines to `dtype`. `theta` is the base of the frequencies.
    ///
    /// # Shapes
    ///
    /// - positions: `[batch, seq]`
    pub fn new(positions: Tensor<2, Int>, head_dim: usize, theta: f64, dtype: DType) -> Self {
        let half = head_dim / 2;
        let inverse: Vec<f32> = (0..half)
            .map(|i| (1.0 / theta.powf(2.0 * i as f64 / head_dim as f64)) as f32)
            .collect();
        let device = positions.device();
        let inverse = Tensor::<4>::from_data(
            TensorData::new(inverse, [1, 1, 1, half]),
            (&device, DType::F32),
        );
        let positions = positions
            .float()
            .cast(DType::F32)
            .unsqueeze_dim::<3>(1)
            .unsqueeze_dim::<4>(3);
        let angles = positions * inverse; // [batch, 1, seq, head_dim / 2]
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
    let mut positions = Vec::with_capacity(segments.len() * seq);
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
    Tensor::from_data(TensorData::new(positions, [segments.len(), seq]), device)
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

    #[test]
    fn position_zero_is_left_as_it_is() {
        let device = Device::default();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &device);
        let rope = Rope::new(Tensor::from_ints([[0]], &device), 4, 10_000.0, DType::F32);
        rope.apply(x.clone())
            .into_data()
            .assert_eq(&x.into_data(), true);
    }

    #[test]
    fn the_halves_of_a_head_turn_against_each_other() {
        let device = Device::default();
        let x = Tensor::<4>::from_floats([[[[1.0, 0.0, 0.0, 0.0]]]], &device);
        let rope = Rope::new(Tensor::from_ints([[1]], &device), 4, 10_000.0, DType::F32);
        let expected = TensorData::from([[[[1.0f32.cos(), 0.0, 1.0f32.sin(), 0.0]]]]);
        rope.apply(x)
            .into_data()
            .assert_approx_eq::<f32>(&expected, burn::tensor::Tolerance::absolute(1e-6));
    }
}
