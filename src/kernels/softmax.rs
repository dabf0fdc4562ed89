//! Softmax over the last dimension with a mask.

use burn::backend::flex::FlexTensor;

use crate::kernels::simd::{
    LANES, change_rows, dims, dot, exp, join_lanes, larger, noticeable, padded_chunk, values,
    vectorized,
};

/// `softmax(scale · scores)` over the last dimension, where what `mask` marks counts for nothing; a row of which all is
/// marked has equal shares.
///
/// # Shapes
///
/// - scores and output: `[a, b, rows, columns]`
/// - mask: the same, or one where it is the same for all
pub(crate) fn masked_softmax(scores: FlexTensor, mask: &FlexTensor, scale: f32) -> FlexTensor {
    let rows = MaskRows::new(mask, dims(&scores));
    let columns = rows.columns;
    change_rows(scores, columns, |first, scores| {
        vectorized(
            #[inline(always)]
            || {
                for (row_idx, row) in scores.chunks_exact_mut(columns).enumerate() {
                    softmax_row(row, rows.row(first + row_idx), scale);
                }
            },
        );
    })
}

/// The gradient of a softmax to the scores, from its result.
pub(crate) fn softmax_gradient(
    weights: &FlexTensor,
    mask: &FlexTensor,
    scale: f32,
    grad: FlexTensor,
) -> FlexTensor {
    let rows = MaskRows::new(mask, dims(&grad));
    let columns = rows.columns;
    let weights = values(weights);
    change_rows(grad, columns, |first, grad| {
        let weights = &weights[first * columns..first * columns + grad.len()];
        vectorized(
            #[inline(always)]
            || {
                let grad = grad.chunks_exact_mut(columns);
                for (row_idx, (row, weights)) in grad.zip(weights.chunks_exact(columns)).enumerate()
                {
                    softmax_row_gradient(row, weights, rows.row(first + row_idx), scale);
                }
            },
        );
    })
}

/// Scores that lie farther below the largest, so that their weight is less than 2⁻⁴⁰ of its, count for nothing: no sum in
/// f32 can tell, and see [`noticeable`].
const LEAST: f32 = -27.73;

/// Softmax of one row in its place.
#[inline(always)]
pub(crate) fn softmax_row(row: &mut [f32], mask: &[u8], scale: f32) {
    let share = softmax_weights(row, mask, scale);
    for weight in row {
        *weight *= share;
    }
}

/// Writes the weights of one row's softmax in its place and returns what makes their sum one. The row may be longer than its
/// mask; what is behind counts for nothing if it is minus infinity.
#[inline(always)]
pub(crate) fn softmax_weights(row: &mut [f32], mask: &[u8], scale: f32) -> f32 {
    // Zeros are what most masks are, and a vector of bytes is dear to widen.
    if mask.iter().fold(0, |any, &masked| any | masked) != 0 {
        for (score, &masked) in row.iter_mut().zip(mask) {
            *score = if masked != 0 {
                f32::NEG_INFINITY
            } else {
                *score
            };
        }
    }
    // What does not fill a vector is made one, so that no number is alone.
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

/// The gradient of one row's softmax in the place of the gradient to its result.
#[inline(always)]
pub(crate) fn softmax_row_gradient(grad: &mut [f32], weights: &[f32], mask: &[u8], scale: f32) {
    let along = dot(grad, weights);
    for ((grad, &weight), &masked) in grad.iter_mut().zip(weights).zip(mask) {
        let to_score = noticeable(scale * weight * (*grad - along));
        *grad = if masked != 0 { 0.0 } else { to_score };
    }
}

/// The row of a mask that belongs to each row of a tensor of four dimensions.
pub(crate) struct MaskRows<'a> {
    bytes: &'a [u8],
    /// Sizes of the tensor's second and third dimension.
    sizes: [usize; 2],
    /// How far apart in `bytes` the rows of neighbours in the first three dimensions are.
    steps: [isize; 3],
    start: isize,
    /// The length of a row.
    pub(crate) columns: usize,
}

impl<'a> MaskRows<'a> {
    /// # Panics
    ///
    /// If the mask's rows are not whole, or of another length.
    pub(crate) fn new(mask: &'a FlexTensor, [_, second, third, columns]: [usize; 4]) -> Self {
        let shape: [usize; 4] = dims(mask);
        let strides = mask.layout().strides();
        assert!(
            shape[3] == columns && (strides[3] == 1 || columns == 1),
            "a mask has whole rows"
        );
        Self {
            bytes: mask.storage::<u8>(),
            sizes: [second, third],
            steps: [0, 1, 2].map(|dim| if shape[dim] == 1 { 0 } else { strides[dim] }),
            start: mask.layout().start_offset() as isize,
            columns,
        }
    }

    /// The mask of the row that is number `row_idx` in order.
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
    fn a_weight_that_no_sum_can_notice_is_zero_and_so_is_its_gradient() {
        let mut row = [0.0, -20.0, -30.0, -80.0, -200.0];
        softmax_row(&mut row, &[0; 5], 1.0);
        assert!(row[0] == 1.0 && row[1] > 0.0, "{row:?}");
        assert_eq!(row[2..], [0.0; 3]);
        let mut grad = [1e-17, 1.0, 1.0, 1.0, 1.0];
        softmax_row_gradient(&mut grad, &row, &[0; 5], 1.0);
        assert!(grad[1] > 1e-9, "{grad:?}");
        assert_eq!(grad[2..], [0.0; 3]);
        assert_eq!(noticeable(-1e-25), 0.0);
        assert!(noticeable(f32::NAN).is_nan());
    }
}
