//! Rotary positions: splitting tokens into heads and rotating them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::supports;

/// Swaps tokens and heads and [rotates](rotate) each head by the angle of its position.
///
/// # Shapes
///
/// - x: `[batch, seq, heads, head_dim]`
/// - cos, sin: `[batch, 1, seq, head_dim / 2]`, or 1 for the batch
/// - output: `[batch, heads, seq, head_dim]`
pub(crate) fn rotate_heads(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    if supports(&x) {
        let [cos, sin] = [cos, sin].map(|angles| angles.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::rotate_heads(x.into_dispatch(), cos, sin))
    } else {
        rotate(x.swap_dims(1, 2), cos, sin)
    }
}

/// Rotates the halves of each head against each other, dimension `i` with `i + head_dim / 2`.
///
/// # Shapes
///
/// - x and output: `[batch, heads, seq, head_dim]`
/// - cos, sin: `[batch, 1, seq, head_dim / 2]`, or 1 for the batch
pub(crate) fn rotate(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    Tensor::cat(
        vec![
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            second * cos.clone() + first * sin.clone(),
        ],
        3,
    )
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait RotateHeads: Backend {
    fn rotate_heads(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;
    use burn::tensor::Shape;

    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    impl super::RotateHeads for Flex {
        fn rotate_heads(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
            rotate(x, &dense(cos), &dense(sin), Layout::Tokens, 1.0)
        }
    }

    impl<C: CheckpointStrategy> super::RotateHeads for Autodiff<Flex, C> {
        fn rotate_heads(
            x: FloatTensor<Self>,
            cos: FloatTensor<Self>,
            sin: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            record::<C, _, 3>(
                [x, cos, sin],
                |[x, cos, sin]| {
                    let angles = [dense(cos), dense(sin)];
                    let [cos, sin] = &angles;
                    let out = rotate(x, cos, sin, Layout::Tokens, 1.0);
                    (out, angles)
                },
                |[cos, sin], grad, _| {
                    let to_x = rotate(grad, &cos, &sin, Layout::Heads, -1.0);
                    [Some(to_x), None, None]
                },
            )
        }
    }

    /// Layout of the input; the output has the other one.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Layout {
        /// `[batch, seq, heads, head_dim]`
        Tokens,
        /// `[batch, heads, seq, head_dim]`
        Heads,
    }

    /// Rotates the halves of each head by `direction` (1 or -1) times the angle of its position, and swaps heads and tokens.
    ///
    /// # Shapes
    ///
    /// - x: that of `from`; the output has the other layout
    /// - cos, sin: `[batch, 1, seq, head_dim / 2]`
    fn rotate(
        x: FlexTensor,
        cos: &FlexTensor,
        sin: &FlexTensor,
        from: Layout,
        direction: f32,
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
                        let sin = sin[i] * direction;
                        out_first[i] = first[i] * cos[i] - second[i] * sin;
                        out_second[i] = second[i] * cos[i] + first[i] * sin;
                    }
                }
            },
        );
        tensor(out, Shape::new([batch, third, second, head_dim]))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_same, noise};
    use burn::tensor::Device;

    #[test]
    fn the_loop_equals_the_plain_expression() {
        for (batch, angles) in [(1, 1), (3, 3), (3, 1)] {
            let angles: Tensor<4> = noise([angles, 1, 5, 3], 7, &Device::default());
            let (cos, sin) = (angles.clone().cos(), angles.sin());
            assert_same(
                &format!("{batch} rows, {} of angles", cos.dims()[0]),
                [batch * 5 * 2 * 6],
                |[x]| rotate_heads(x.reshape([batch, 5, 2, 6]), &cos, &sin).flatten(0, 3),
                |[x]| {
                    let x: Tensor<4> = x.reshape([batch, 5, 2, 6]);
                    rotate(x.swap_dims(1, 2), &cos, &sin).flatten(0, 3)
                },
            );
        }
    }
}
