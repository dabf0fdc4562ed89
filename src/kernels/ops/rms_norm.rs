//! The root-mean-square norm.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{DType, Tensor};

use crate::kernels::supports;

/// What a root-mean-square norm multiplies by, and in which dtype.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "snake_case")]
pub enum NormScale {
    /// `1 + weight` in f32, as Gemma 1 to 3 do.
    #[default]
    OnePlusWeight,
    /// `weight` in f32, as Gemma 4 does.
    Weight,
    /// `weight` in the dtype of the activations, as Llama, Mistral and Qwen do.
    WeightAfterCast,
}

impl NormScale {
    /// What is added to the weight.
    fn offset(self) -> f32 {
        match self {
            Self::OnePlusWeight => 1.0,
            Self::Weight | Self::WeightAfterCast => 0.0,
        }
    }
}

/// Computes `x · rsqrt(mean(x²) + eps)` over the last dimension in f32, times the scale, in the dtype of `x`; reuses the
/// buffer of `x` where it can.
///
/// # Shapes
///
/// - x and output: `[batch, seq, hidden_size]`
/// - weight: `[hidden_size]`
pub(crate) fn rms_norm(x: Tensor<3>, weight: Tensor<1>, scale: NormScale, eps: f64) -> Tensor<3> {
    if supports(&x) && supports(&weight) {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        Tensor::from_dispatch(Dispatch::rms_norm(x, weight, scale.offset(), eps as f32))
    } else {
        plain(x, weight, scale, eps)
    }
}

fn plain(x: Tensor<3>, weight: Tensor<1>, scale: NormScale, eps: f64) -> Tensor<3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let rms = (x.clone().square().mean_dim(2) + eps).sqrt().recip();
    if scale == NormScale::WeightAfterCast {
        return (x * rms).cast(dtype) * weight.cast(dtype).unsqueeze();
    }
    let factor = weight.cast(DType::F32) + scale.offset();
    (x * rms * factor.unsqueeze()).cast(dtype)
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait RmsNorm: Backend {
    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        offset: f32,
        eps: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::backend::tensor::FloatTensor;
    use burn::tensor::Shape;

    use crate::kernels::cpu::simd::{dot, flush_tiny, sum, vectorized};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{
        change_rows, dense, owned, tensor, values, values_mut, width,
    };

    impl super::RmsNorm for Flex {
        fn rms_norm(x: FlexTensor, weight: FlexTensor, offset: f32, eps: f32) -> FlexTensor {
            let (n, weight) = (width(&x), dense(weight));
            let weight = values(&weight);
            change_rows(x, n, |_, x| {
                vectorized(
                    #[inline(always)]
                    || {
                        for x in x.chunks_exact_mut(n) {
                            let scale = inverse_rms(x, eps);
                            for (x, &weight) in x.iter_mut().zip(weight) {
                                *x = *x * scale * (offset + weight);
                            }
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::RmsNorm for Autodiff<Flex, C> {
        fn rms_norm(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            offset: f32,
            eps: f32,
        ) -> FloatTensor<Self> {
            record::<C, _, 2>(
                [x, weight],
                |[x, weight]| {
                    let (x, weight) = (dense(x), dense(weight));
                    let out = Flex::rms_norm(x.clone(), weight.clone(), offset, eps);
                    (out, (x, weight, [offset, eps]))
                },
                |(x, weight, numbers), grad, wanted| gradients(&x, &weight, numbers, grad, wanted),
            )
        }
    }

    #[inline(always)]
    fn inverse_rms(x: &[f32], eps: f32) -> f32 {
        1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt()
    }

    /// Returns the gradients of `x` and weight that are wanted.
    fn gradients(
        x: &FlexTensor,
        weight: &FlexTensor,
        [offset, eps]: [f32; 2],
        grad: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let n = width(x);
        let mut grad = owned(grad);
        let mut to_weight = vec![0.0; n];
        let (x, weight) = (values(x), values(weight));
        let grads = values_mut(&mut grad);
        vectorized(
            #[inline(always)]
            || {
                for (grad, x) in grads.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                    let scale = inverse_rms(x, eps);
                    if wanted[1] {
                        for ((to_weight, &grad), &x) in to_weight.iter_mut().zip(&*grad).zip(x) {
                            *to_weight += grad * x * scale;
                        }
                    }
                    for (grad, &weight) in grad.iter_mut().zip(weight) {
                        *grad *= offset + weight;
                    }
                    let along = dot(grad, x) * scale * scale / n as f32;
                    for (grad, &x) in grad.iter_mut().zip(x) {
                        *grad = flush_tiny(scale * (*grad - x * along));
                    }
                }
            },
        );
        [
            wanted[0].then_some(grad),
            wanted[1].then(|| tensor(to_weight, Shape::new([n]))),
        ]
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::assert_same;

    #[test]
    fn the_loop_equals_the_plain_expression() {
        for shape in [[1, 1, 1], [2, 3, 19], [1, 5, 64], [3, 40, 300]] {
            let [_, _, size] = shape;
            for scale in [
                NormScale::OnePlusWeight,
                NormScale::Weight,
                NormScale::WeightAfterCast,
            ] {
                assert_same(
                    &format!("{shape:?} {scale:?}"),
                    [shape.iter().product(), size],
                    |[x, weight]| rms_norm(x.reshape(shape), weight, scale, 1e-6).flatten(0, 2),
                    |[x, weight]| plain(x.reshape(shape), weight, scale, 1e-6).flatten(0, 2),
                );
            }
        }
    }
}
