//! Softmax of one row, its gradient, and the rows of a mask.

use burn::backend::flex::FlexTensor;

use crate::kernels::cpu::simd::{LANES, dot, exp, flush_tiny, join_lanes, larger, padded_chunk};
use crate::kernels::cpu::tensors::dims;

/// Scores so far below the largest (weight below 2⁻⁴⁰ of its weight) get weight 0: no sum in f32 can tell, and the backward
/// pass is spared subnormal gradients, see [`flush_tiny`].
const LEAST: f32 = -27.73;

/// Computes `softmax(scale · row)` in place; entries with a nonzero mask byte get weight 0.
#[inline(always)]
pub(crate) fn softmax_row(row: &mut [f32], mask: &[u8], scale: f32) {
    let share = softmax_weights(row, mask, scale);
    for weight in row {
        *weight *= share;
    }
}

/// Writes the unnormalized weights of a row's softmax in place and returns the factor that makes their sum one.
///
/// The row may be longer than its mask if the rest is minus infinity. A row that is masked as a whole gets equal weights.
#[inline(always)]
pub(crate) fn softmax_weights(row: &mut [f32], mask: &[u8], scale: f32) -> f32 {
    // Most masks are all zeros, and widening bytes to vectors of f32 is slow.
    if mask.iter().fold(0, |any, &masked| any | masked) != 0 {
        for (score, &masked) in row.iter_mut().zip(mask) {
            *score = if masked != 0 {
                f32::NEG_INFINITY
            } else {
                *score
            };
        }
    }
    // The remainder is padded to a whole vector, so that there is no scalar loop.
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    let mut last = padded_chunk(rest, f32::NEG_INFINITY);
    let mut largest = last;
    for chunk in whole.iter() {
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], chunk[lane]);
        }
    }
    let largest = join_lanes(largest, larger);
    if largest == f32::NEG_INFINITY {
        row.fill(1.0);
        return 1.0 / mask.len() as f32;
    }
    let weight = |score: f32| {
        let below = (score - largest) * scale;
        let weight = exp(below);
        if below <= LEAST { 0.0 } else { weight }
    };
    for x in &mut last {
        *x = weight(*x);
    }
    let mut sums = last;
    for chunk in whole {
        for lane in 0..LANES {
            chunk[lane] = weight(chunk[lane]);
            sums[lane] += chunk[lane];
        }
    }
    rest.copy_from_slice(&last[..rest.len()]);
    1.0 / join_lanes(sums, |a, b| a + b)
}

/// Turns the gradient of a row's softmax weights into that of its scores, in place.
#[inline(always)]
pub(crate) fn softmax_row_gradient(grad: &mut [f32], weights: &[f32], mask: &[u8], scale: f32) {
    let along = dot(grad, weights);
    for ((grad, &weight), &masked) in grad.iter_mut().zip(weights).zip(mask) {
        let to_score = flush_tiny(scale * weight * (*grad - along));
        *grad = if masked != 0 { 0.0 } else { to_score };
    }
}

/// A mask that broadcasts over a tensor of four dimensions, by rows.
pub(crate) struct MaskRows<'a> {
    bytes: &'a [u8],
    /// Sizes of the tensor's second and third dimension.
    sizes: [usize; 2],
    /// Strides of the first three dimensions in `bytes`; 0 where the mask broadcasts.
    steps: [isize; 3],
    start: isize,
    /// The length of a row.
    pub(crate) columns: usize,
}

impl<'a> MaskRows<'a> {
    /// Borrows a mask for a tensor of these sizes.
    ///
    /// # Panics
    ///
    /// Panics if the mask's rows are not contiguous or of another length.
    pub(crate) fn new(mask: &'a FlexTensor, [_, second, third, columns]: [usize; 4]) -> Self {
        let shape: [usize; 4] = dims(mask);
        let strides = mask.layout().strides();
        assert!(
            shape[3] == columns && (strides[3] == 1 || columns == 1),
            "rows of a mask are contiguous and as long as those of the scores"
        );
        Self {
            bytes: mask.storage::<u8>(),
            sizes: [second, third],
            steps: [0, 1, 2].map(|dim| if shape[dim] == 1 { 0 } else { strides[dim] }),
            start: mask.layout().start_offset() as isize,
            columns,
        }
    }

    /// Returns the mask of row `row_idx`, counted through the first three dimensions.
    #[inline(always)]
    pub(crate) fn row(&self, row_idx: usize) -> &'a [u8] {
        let [second, third] = self.sizes;
        let places = [
            row_idx / (second * third),
            row_idx / third % second,
            row_idx % third,
        ];
        let start = (0..3).fold(self.start, |start, dim| {
            start + places[dim] as isize * self.steps[dim]
        }) as usize;
        &self.bytes[start..start + self.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_below_the_precision_of_f32_is_zero_and_so_is_its_gradient() {
        let mut row = [0.0, -20.0, -30.0, -80.0, -200.0];
        softmax_row(&mut row, &[0; 5], 1.0);
        assert!(row[0] == 1.0 && row[1] > 0.0, "{row:?}");
        assert_eq!(row[2..], [0.0; 3]);
        let mut grad = [1e-17, 1.0, 1.0, 1.0, 1.0];
        softmax_row_gradient(&mut grad, &row, &[0; 5], 1.0);
        assert!(grad[1] > 1e-9, "{grad:?}");
        assert_eq!(grad[2..], [0.0; 3]);
        assert_eq!(flush_tiny(-1e-25), 0.0);
        assert!(flush_tiny(f32::NAN).is_nan());
    }
}
