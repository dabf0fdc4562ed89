//! Operations of several steps in one pass, for the CPU backend.
//!
//! Burn's CPU backend walks over the whole tensor for every step of an expression, one thread, and calls the C library
//! for each exponential; in a training step that costs more than the matrices around it. So the expressions that a
//! profile shows are one loop each here, forward and backward, through burn's backend extension. They hold for f32 on the
//! CPU; every caller has the plain expression too, which serves all other backends and dtypes and is the oracle of the tests.
#![cfg_attr(
    not(feature = "flex"),
    allow(unused_variables, reason = "no backend is left to take the arguments")
)]

#[cfg(feature = "flex")]
mod autodiff;
#[cfg(feature = "flex")]
mod disentangled;
#[cfg(feature = "flex")]
mod elementwise;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod low_rank;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod product;
#[cfg(feature = "flex")]
mod rotary;
#[cfg(feature = "flex")]
mod simd;
#[cfg(feature = "flex")]
mod softmax;

#[cfg(all(test, feature = "flex"))]
pub(super) mod testing;

use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Bool, DType, Tensor};

/// The operations, on the tensors of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), Autodiff: cfg(feature = "flex"))]
trait Fused: Backend {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn gated_gelu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;

    fn masked_softmax(
        scores: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    fn rotate_heads(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn few_rows(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    fn low_rank_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        lora_a: FloatTensor<Self>,
        lora_b: FloatTensor<Self>,
        scaling: f32,
    ) -> FloatTensor<Self>;

    fn disentangled_softmax(
        scores: FloatTensor<Self>,
        by_query: FloatTensor<Self>,
        by_key: FloatTensor<Self>,
        mask: BoolTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Whether the operations here serve a tensor.
pub(super) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device().inner();
    x.dtype() == DType::F32 && is_cpu(device.as_dispatch())
}

#[cfg(feature = "flex")]
fn is_cpu(device: &DispatchDevice) -> bool {
    matches!(device, DispatchDevice::Flex(_))
}

#[cfg(not(feature = "flex"))]
fn is_cpu(_: &DispatchDevice) -> bool {
    false
}

/// GELU with the error function.
pub(super) fn gelu<const D: usize>(x: &Tensor<D>) -> Option<Tensor<D>> {
    serves(x).then(|| Tensor::from_dispatch(Dispatch::gelu(x.clone().into_dispatch())))
}

/// GELU in its tanh form of `gate`, times `up`.
pub(super) fn gated_gelu<const D: usize>(gate: &Tensor<D>, up: &Tensor<D>) -> Option<Tensor<D>> {
    serves(gate).then(|| {
        let [gate, up] = [gate, up].map(|tensor| tensor.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::gated_gelu(gate, up))
    })
}

/// Gemma's norm over the last dimension.
pub(super) fn rms_norm(x: &Tensor<3>, weight: &Tensor<1>, eps: f64) -> Option<Tensor<3>> {
    (serves(x) && serves(weight)).then(|| {
        let (x, weight) = (x.clone().into_dispatch(), weight.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::rms_norm(x, weight, eps as f32))
    })
}

/// The layer norm over the last dimension.
pub(super) fn layer_norm<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    eps: f64,
) -> Option<Tensor<D>> {
    (serves(x) && serves(weight)).then(|| {
        let [weight, bias] = [weight, bias].map(|tensor| tensor.clone().into_dispatch());
        let x = x.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::layer_norm(x, weight, bias, eps as f32))
    })
}

/// `softmax(scale · scores)` over the last dimension without what `mask` marks.
///
/// # Shapes
///
/// - scores: `[a, b, rows, columns]`
/// - mask: the same, or one in any dimension but the last
///
/// # Panics
///
/// If it does not [serve](serves) the scores; it takes them to write the result in their place.
pub(super) fn masked_softmax(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    let (scores, mask) = (scores.into_dispatch(), mask.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::masked_softmax(scores, mask, scale as f32))
}

/// Splits into heads and rotates them.
///
/// # Shapes
///
/// - x: `[batch, seq, heads, head_dim]`
/// - cos, sin: `[batch, 1, seq, head_dim / 2]`
/// - output: `[batch, heads, seq, head_dim]`
pub(super) fn rotate_heads(x: &Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Option<Tensor<4>> {
    serves(x).then(|| {
        let [x, cos, sin] = [x, cos, sin].map(|tensor| tensor.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::rotate_heads(x, cos, sin))
    })
}

/// `x · weightᵀ` for few rows and no gradient.
pub(super) fn few_rows(x: &Tensor<2>, weight: &Tensor<2>) -> Option<Tensor<2>> {
    (serves(x) && serves(weight) && !x.is_tracked() && !weight.is_tracked()).then(|| {
        let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::few_rows(x, weight))
    })
}

/// `x · weightᵀ + scaling · (x · lora_aᵀ) · lora_bᵀ` with a frozen weight.
pub(super) fn low_rank_linear(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    lora_a: &Tensor<2>,
    lora_b: &Tensor<2>,
    scaling: f64,
) -> Option<Tensor<2>> {
    (serves(x) && serves(weight) && serves(lora_a) && !weight.is_tracked()).then(|| {
        let [x, weight, lora_a, lora_b] =
            [x, weight, lora_a, lora_b].map(|tensor| tensor.clone().into_dispatch());
        let out = Dispatch::low_rank_linear(x, weight, lora_a, lora_b, scaling as f32);
        Tensor::from_dispatch(out)
    })
}

/// The softmax of disentangled attention's scores.
///
/// # Shapes
///
/// - scores and output: `[heads, batch, seq, seq]`
/// - by_query, by_key: `[heads, batch · seq, 2 · seq]`
/// - mask: `[1, batch, 1, seq]`
pub(super) fn disentangled_softmax(
    scores: &Tensor<4>,
    by_query: &Tensor<3>,
    by_key: &Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Option<Tensor<4>> {
    serves(scores).then(|| {
        let [by_query, by_key] = [by_query, by_key].map(|tensor| tensor.clone().into_dispatch());
        let (scores, mask) = (scores.clone().into_dispatch(), mask.clone().into_dispatch());
        let out = Dispatch::disentangled_softmax(scores, by_query, by_key, mask);
        Tensor::from_dispatch(out)
    })
}
