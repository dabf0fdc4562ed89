//! The layer norm of BERT-like models.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, module};

use crate::kernels::supports;

/// Normalizes over the last dimension: `(x − mean) · rsqrt(variance + eps) · weight + bias`; reuses the buffer of `x` where
/// it can.
///
/// # Shapes
///
/// - x and output: `[.., hidden_size]`
/// - weight, bias: `[hidden_size]`
pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    if supports(&x) && supports(&weight) {
        let x = x.into_dispatch();
        let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::layer_norm(x, weight, bias, eps as f32))
    } else {
        module::layer_norm(x, weight, Some(bias), eps)
    }
}

#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait LayerNorm: Backend {
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
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

    use crate::kernels::cpu::norm::{layer_norm_row, moments};
    use crate::kernels::cpu::simd::{dot, flush_tiny, sum, vectorized};
    use crate::kernels::cpu::tape::record;
    use crate::kernels::cpu::tensors::{
        change_rows, dense, owned, tensor, values, values_mut, width,
    };

    impl super::LayerNorm for Flex {
        fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
            let (n, weight, bias) = (width(&x), dense(weight), dense(bias));
            let (weight, bias) = (values(&weight), values(&bias));
            change_rows(x, n, |_, x| {
                vectorized(
                    #[inline(always)]
                    || {
                        for x in x.chunks_exact_mut(n) {
                            layer_norm_row(x, weight, bias, eps);
                        }
                    },
                );
            })
        }
    }

    impl<C: CheckpointStrategy> super::LayerNorm for Autodiff<Flex, C> {
        fn layer_norm(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            eps: f32,
        ) -> FloatTensor<Self> {
            record::<C, _, 3>(
                [x, weight, bias],
                |[x, weight, bias]| {
                    let (x, weight) = (dense(x), dense(weight));
                    let out = Flex::layer_norm(x.clone(), weight.clone(), bias, eps);
                    (out, (x, weight, eps))
                },
                |(x, weight, eps), grad, wanted| gradients(&x, &weight, eps, grad, wanted),
            )
        }
    }

    /// Returns the gradients of `x`, weight and bias that are wanted.
    fn gradients(
        x: &FlexTensor,
        weight: &FlexTensor,
        eps: f32,
        grad: FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let n = width(x);
        let mut grad = owned(grad);
        let [mut to_weight, mut to_bias, mut normed] = [(); 3].map(|()| vec![0.0; n]);
        let (x, weight) = (values(x), values(weight));
        let grads = values_mut(&mut grad);
        vectorized(
            #[inline(always)]
            || {
                for (grad, x) in grads.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                    let (mean, scale) = moments(x, eps);
                    for (normed, &x) in normed.iter_mut().zip(x) {
                        *normed = (x - mean) * scale;
                    }
                    if wanted[1] {
                        let terms = grad.iter().zip(&normed);
                        for (to_weight, (&grad, &normed)) in to_weight.iter_mut().zip(terms) {
                            *to_weight += grad * normed;
                        }
                    }
                    if wanted[2] {
                        for (to_bias, &grad) in to_bias.iter_mut().zip(&*grad) {
                            *to_bias += grad;
                        }
                    }
                    for (grad, &weight) in grad.iter_mut().zip(weight) {
                        *grad *= weight;
                    }
                    let even = sum(grad, |x| x) / n as f32;
                    let along = dot(grad, &normed) / n as f32;
                    for (grad, &normed) in grad.iter_mut().zip(&normed) {
                        *grad = flush_tiny(scale * (*grad - even - normed * along));
                    }
                }
            },
        );
        let vector = |values| tensor(values, Shape::new([n]));
        [
            wanted[0].then_some(grad),
            wanted[1].then(|| vector(to_weight)),
            wanted[2].then(|| vector(to_bias)),
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
            assert_same(
                &format!("{shape:?}"),
                [shape.iter().product(), size, size],
                |[x, weight, bias]| layer_norm(x.reshape(shape), weight, bias, 1e-3).flatten(0, 2),
                // Spelled out, so that the reference is not another fused kernel.
                |[x, weight, bias]| {
                    let x: Tensor<3> = x.reshape(shape);
                    let x = x.clone() - x.mean_dim(2);
                    let variance = x.clone().square().mean_dim(2);
                    let normed = x / (variance + 1e-3).sqrt();
                    (normed * weight.unsqueeze() + bias.unsqueeze()).flatten(0, 2)
                },
            );
        }
    }
}
