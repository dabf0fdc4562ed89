//! Splitting into heads and rotating by position in one pass.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use crate::kernels::simd::{dense, dims, tensor, values, vectorized};

/// Which of the two layouts the input has; the output has the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, seq, heads, head_dim]`
    Tokens,
    /// `[batch, heads, seq, head_dim]`
    Heads,
}

/// Rotates the halves of each head by `turn` (1 or -1) times its position's angle, and swaps heads and tokens.
///
/// # Shapes
///
/// - x: that of `from`; the output has the other layout
/// - cos, sin: `[batch, 1, seq, head_dim / 2]`
pub(crate) fn rotate(
    x: FlexTensor,
    cos: &FlexTensor,
    sin: &FlexTensor,
    from: Layout,
    turn: f32,
) -> FlexTensor {
    let x = dense(x);
    let [batch, second, third, head_dim] = dims(&x);
    let half = head_dim / 2;
    let [angles, _, seq, _] = dims(cos);
    let (source, cos, sin) = (values(&x), values(cos), values(sin));
    let mut out = vec![0.0; source.len()];
    // The output is written in order: its outer dimension is the input's third.
    vectorized(
        #[inline(always)]
        || {
            for (row_idx, out) in out.chunks_exact_mut(head_dim).enumerate() {
                let (row, outer, inner) = (
                    row_idx / (second * third),
                    row_idx / second % third,
                    row_idx % second,
                );
                let position = match from {
                    Layout::Tokens => inner,
                    Layout::Heads => outer,
                };
                let start = ((row * second + inner) * third + outer) * head_dim;
                let angle = (row.min(angles - 1) * seq + position) * half;
                let (first, second) = source[start..start + head_dim].split_at(half);
                let (out_first, out_second) = out.split_at_mut(half);
                let cos = &cos[angle..angle + half];
                let sin = &sin[angle..angle + half];
                for i in 0..half {
                    let sin = sin[i] * turn;
                    out_first[i] = first[i] * cos[i] - second[i] * sin;
                    out_second[i] = second[i] * cos[i] + first[i] * sin;
                }
            }
        },
    );
    tensor(out, Shape::new([batch, third, second, head_dim]))
}
