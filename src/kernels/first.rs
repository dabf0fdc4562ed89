//! What the first token of each text sees of the others.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use crate::kernels::product::{Product, Strided};
use crate::kernels::simd::{LANES, dense, dims, join_lanes, tensor, values, vectorized};
use crate::kernels::softmax::{MaskRows, softmax_row};

/// `softmax(scores + hidden · (by_text + by_token)) · hidden`, where what `mask` marks counts for nothing.
///
/// # Shapes
///
/// - hidden: `[batch, seq, width]`
/// - by_text and output: `[batch, heads, width]`
/// - by_token: `[heads, seq, width]`
/// - scores: `[batch, heads, seq]`
/// - mask: `[1, batch, 1, seq]`
pub(crate) fn attention(
    hidden: FlexTensor,
    [by_text, by_token]: [FlexTensor; 2],
    scores: FlexTensor,
    mask: &FlexTensor,
) -> FlexTensor {
    let [hidden, by_text, by_token, scores] = [hidden, by_text, by_token, scores].map(dense);
    let [batch, seq, width] = dims(&hidden);
    let [heads, _, _] = dims(&by_token);
    let mask = MaskRows::new(mask, [heads, batch, 1, seq]);
    let [hidden, by_text, by_token, scores] = [&hidden, &by_text, &by_token, &scores].map(values);
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

/// `x · (a + b)`
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
