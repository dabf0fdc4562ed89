//! Attention of the first token of each text, straight from the hidden states.

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, Tensor};

use crate::kernels::ops::masked_softmax::masked_softmax;
use crate::kernels::ops::matmul::matmul;
use crate::kernels::supports;

/// Computes `softmax(scores + hidden · (by_text + by_token)) · hidden` for each head; masked tokens get weight 0.
///
/// # Shapes
///
/// - hidden: `[batch, seq, width]`
/// - by_text and output: `[batch, heads, width]`
/// - by_token: `[heads, seq, width]`
/// - scores: `[batch, heads, seq]`
/// - mask: `[1, batch, 1, seq]`, true where a token is padding
pub(crate) fn first_token_attention(
    hidden: Tensor<3>,
    by_text: Tensor<3>,
    by_token: Tensor<3>,
    scores: Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Tensor<3> {
    let inputs = [&hidden, &by_text, &by_token, &scores];
    if !supports(&hidden) || inputs.map(Tensor::is_tracked).contains(&true) {
        return plain(hidden, by_text, by_token, scores, mask);
    }
    let [hidden, by_text, by_token, scores] =
        [hidden, by_text, by_token, scores].map(|x| x.without_autodiff().into_dispatch());
    let mask = mask.clone().into_dispatch();
    let out = Dispatch::first_token_attention(hidden, by_text, by_token, scores, mask);
    Tensor::from_dispatch(out)
}

fn plain(
    hidden: Tensor<3>,
    by_text: Tensor<3>,
    by_token: Tensor<3>,
    scores: Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Tensor<3> {
    let by_text = matmul(by_text, hidden.clone().swap_dims(1, 2)); // [batch, heads, seq]
    let by_token = hidden.clone().unsqueeze_dim::<4>(1) * by_token.unsqueeze_dim(0);
    let by_token = by_token.sum_dim(3).squeeze_dim(3); // [batch, heads, seq]
    let scores = (scores + by_text + by_token)
        .swap_dims(0, 1)
        .unsqueeze_dim(2);
    let weights = masked_softmax(scores, mask, 1.0); // [heads, batch, 1, seq]
    matmul(weights.squeeze_dim::<3>(2).swap_dims(0, 1), hidden)
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait FirstTokenAttention: Backend {
    fn first_token_attention(
        hidden: FloatTensor<Self>,
        by_text: FloatTensor<Self>,
        by_token: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        mask: BoolTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;
    use rayon::prelude::*;

    use crate::kernels::cpu::product::{Product, Strided};
    use crate::kernels::cpu::simd::{LANES, join_lanes, vectorized};
    use crate::kernels::cpu::softmax::{MaskRows, softmax_row};
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    impl super::FirstTokenAttention for Flex {
        fn first_token_attention(
            hidden: FlexTensor,
            by_text: FlexTensor,
            by_token: FlexTensor,
            scores: FlexTensor,
            mask: FlexTensor,
        ) -> FlexTensor {
            let [hidden, by_text, by_token, scores] =
                [hidden, by_text, by_token, scores].map(dense);
            let [batch, seq, width] = dims(&hidden);
            let [heads, _, _] = dims(&by_token);
            let mask = MaskRows::new(&mask, [heads, batch, 1, seq]);
            let [hidden, by_text, by_token, scores] =
                [&hidden, &by_text, &by_token, &scores].map(values);
            let mut out = vec![0.0; batch * heads * width];
            out.par_chunks_mut(heads * width).enumerate().for_each_init(
                || vec![0.0; heads * seq],
                |weights, (text_idx, out)| {
                    let hidden = &hidden[text_idx * seq * width..][..seq * width];
                    let by_text = &by_text[text_idx * heads * width..][..heads * width];
                    weights.copy_from_slice(&scores[text_idx * heads * seq..][..heads * seq]);
                    let mask = mask.row(text_idx);
                    vectorized(
                        #[inline(always)]
                        || {
                            let heads = weights.chunks_exact_mut(seq);
                            let by_head = by_text.chunks_exact(width);
                            let by_head = by_head.zip(by_token.chunks_exact(seq * width));
                            for (weights, (by_text, by_token)) in heads.zip(by_head) {
                                let tokens = hidden.chunks_exact(width);
                                let tokens = tokens.zip(by_token.chunks_exact(width));
                                for (weight, (hidden, by_token)) in weights.iter_mut().zip(tokens) {
                                    *weight += product_with_sum(hidden, by_text, by_token);
                                }
                                softmax_row(weights, mask, 1.0);
                            }
                        },
                    );
                    Product {
                        out,
                        adds: false,
                        lhs: Strided {
                            values: weights,
                            row_stride: seq,
                            column_stride: 1,
                        },
                        rhs: hidden,
                        rows: heads,
                        inner: seq,
                        columns: width,
                    }
                    .run();
                },
            );
            tensor(out, Shape::new([batch, heads, width]))
        }
    }

    /// Computes `x · (a + b)`.
    #[inline(always)]
    fn product_with_sum(x: &[f32], a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0; LANES];
        let [(x, x_rest), (a, a_rest), (b, b_rest)] = [x, a, b].map(<[f32]>::as_chunks::<LANES>);
        for ((x, a), b) in x.iter().zip(a).zip(b) {
            for lane in 0..LANES {
                sums[lane] += x[lane] * (a[lane] + b[lane]);
            }
        }
        let rest = x_rest.iter().zip(a_rest).zip(b_rest);
        let rest: f32 = rest.map(|((x, a), b)| x * (a + b)).sum();
        join_lanes(sums, |a, b| a + b) + rest
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn the_loop_equals_the_plain_expression() {
        let device = Device::default();
        for (batch, heads, seq, width) in [(3, 2, 21, 20), (1, 1, 1, 3), (2, 3, 8, 40)] {
            let hidden = noise([batch, seq, width], 1, &device);
            let by_text = noise([batch, heads, width], 2, &device) * 0.3;
            let by_token = noise([heads, seq, width], 3, &device) * 0.3;
            let scores = noise([batch, heads, seq], 4, &device);
            let padding = (0..batch * seq).map(|idx| idx % seq + 4 * (idx / seq) >= seq);
            let padding = TensorData::new(padding.collect(), [1, batch, 1, seq]);
            let padding = Tensor::from_data(padding, &device);
            let inputs = || {
                (
                    hidden.clone(),
                    by_text.clone(),
                    by_token.clone(),
                    scores.clone(),
                )
            };
            let (hidden, by_text, by_token, scores) = inputs();
            let expected = plain(hidden, by_text, by_token, scores, &padding);
            let (hidden, by_text, by_token, scores) = inputs();
            let got = first_token_attention(hidden, by_text, by_token, scores, &padding);
            got.into_data()
                .assert_approx_eq(&expected.into_data(), Tolerance::<f32>::absolute(2e-5));
        }
    }
}
