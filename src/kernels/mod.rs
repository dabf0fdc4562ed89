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
#![cfg_attr(
    not(feature = "pipeline"),
    allow(
        dead_code,
        reason = "an optimizer's parts serve training, which is in `pipeline`"
    )
)]

#[cfg(feature = "flex")]
mod adamw;
#[cfg(feature = "flex")]
mod attention;
#[cfg(feature = "flex")]
mod autodiff;
pub(crate) mod bf16;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) mod cube;
#[cfg(feature = "flex")]
mod disentangled;
#[cfg(feature = "flex")]
mod distances;
#[cfg(feature = "flex")]
mod dots;
#[cfg(feature = "flex")]
mod elementwise;
#[cfg(feature = "flex")]
mod few_rows;
#[cfg(feature = "flex")]
mod first;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod low_rank;
pub(crate) mod nf4;
#[cfg(feature = "flex")]
mod norm;
pub(crate) mod panels;
#[cfg(feature = "flex")]
mod product;
#[cfg(feature = "flex")]
mod rotary;
#[cfg(feature = "flex")]
mod simd;
#[cfg(feature = "flex")]
mod softmax;

#[cfg(all(test, feature = "flex"))]
pub(crate) mod testing;

#[cfg(feature = "flex")]
use burn::backend::DispatchDevice;
use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Bool, DType, Device, Tensor};

use crate::nn::decoder::cache::SharedPrompt;
use crate::nn::layers::attention::Attend;

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

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        prompts: Vec<SharedPrompt>,
        scale: f32,
    ) -> FloatTensor<Self>;

    fn rotate_heads(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

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

    fn disentangled_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        of_keys: FloatTensor<Self>,
        of_queries: FloatTensor<Self>,
        mask: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    fn first_attention(
        hidden: FloatTensor<Self>,
        by_text: FloatTensor<Self>,
        by_token: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        mask: BoolTensor<Self>,
    ) -> FloatTensor<Self>;

    fn moving_mean(
        mean: FloatTensor<Self>,
        x: FloatTensor<Self>,
        beta: f32,
        squared: bool,
    ) -> FloatTensor<Self>;

    fn adamw_update(
        weights: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        step: AdamWStep,
    ) -> FloatTensor<Self>;
}

/// What a step of AdamW multiplies with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamWStep {
    /// Of the weights, `1 − learning rate · weight decay`.
    pub(crate) keep: f32,
    /// Of the first moment: the learning rate, over what it lacks while it is young.
    pub(crate) rate: f32,
    /// Of the second moment: one over what it lacks.
    pub(crate) correction: f32,
    /// Added to the root of the second moment.
    pub(crate) epsilon: f32,
}

/// With more rows a general product of matrices is faster.
pub(crate) const FEW_ROWS: usize = 64;

/// Whether the operations here serve a tensor.
pub(crate) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cpu(&x.device())
}

/// Whether tensors on `device` are in the machine's own memory.
#[cfg(feature = "flex")]
pub fn is_cpu(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Flex(_)
    )
}

/// Whether tensors on `device` are in the machine's own memory: without a CPU backend they never are.
#[cfg(not(feature = "flex"))]
pub fn is_cpu(_device: &Device) -> bool {
    false
}

/// GELU with the error function.
///
/// # Panics
///
/// If it does not [serve](serves) `x`; it takes it to write the result in its place.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::gelu(x.into_dispatch()))
}

/// GELU in its tanh form of `gate`, times `up`.
///
/// # Panics
///
/// If it does not [serve](serves) the gate; it takes it to write the result in its place.
pub(crate) fn gated_gelu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    let [gate, up] = [gate, up].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::gated_gelu(gate, up))
}

/// Gemma's norm over the last dimension.
///
/// # Panics
///
/// If it does not [serve](serves) both; it takes `x` to write the result in its place.
pub(crate) fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::rms_norm(x, weight, eps as f32))
}

/// The layer norm over the last dimension.
///
/// # Panics
///
/// If it does not [serve](serves) all; it takes `x` to write the result in its place.
pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::layer_norm(
        x.into_dispatch(),
        weight,
        bias,
        eps as f32,
    ))
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
pub(crate) fn masked_softmax(scores: Tensor<4>, mask: &Tensor<4, Bool>, scale: f64) -> Tensor<4> {
    let (scores, mask) = (scores.into_dispatch(), mask.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::masked_softmax(scores, mask, scale as f32))
}

/// Attention of few queries without a gradient, with scores times `scale`, in rows that begin with prompts, each row with
/// one.
pub(crate) fn attention(
    input: &Attend,
    prompts: impl FnOnce() -> Vec<SharedPrompt>,
    scale: f64,
) -> Option<Tensor<4>> {
    let tensors = [&input.query, &input.key, &input.value];
    let [[_, heads, queries, _], [_, kv_heads, _, _], _] = tensors.map(Tensor::dims);
    let serves = tensors.iter().all(|x| serves(x) && !x.is_tracked());
    (serves && heads / kv_heads * queries <= FEW_ROWS).then(|| {
        let [query, key, value] = tensors.map(|x| x.clone().without_autodiff().into_dispatch());
        let mask = input.mask.clone().into_dispatch();
        let (prompts, scale) = (prompts(), scale as f32);
        Tensor::from_dispatch(Dispatch::attention(query, key, value, mask, prompts, scale))
    })
}

/// Splits into heads and rotates them.
///
/// # Shapes
///
/// - x: `[batch, seq, heads, head_dim]`
/// - cos, sin: `[batch, 1, seq, head_dim / 2]`
/// - output: `[batch, heads, seq, head_dim]`
pub(crate) fn rotate_heads(x: &Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Option<Tensor<4>> {
    serves(x).then(|| {
        let [x, cos, sin] = [x, cos, sin].map(|tensor| tensor.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::rotate_heads(x, cos, sin))
    })
}

/// `x · weightᵀ`; the gradient of the weight lies in memory as the weight does.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out, in]`
pub(crate) fn linear(x: &Tensor<2>, weight: &Tensor<2>) -> Option<Tensor<2>> {
    (serves(x) && serves(weight)).then(|| {
        let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::linear(x, weight))
    })
}

/// `x + bias`, the same for each row.
///
/// # Shapes
///
/// - x: `[rows, columns]`
/// - bias: `[columns]`
///
/// # Panics
///
/// If it does not [serve](serves) both; it takes `x` to write the result in its place.
pub(crate) fn add_bias(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, bias) = (x.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::add_bias(x, bias))
}

/// `x · weightᵀ + scaling · (x · lora_aᵀ) · lora_bᵀ` with a frozen weight.
pub(crate) fn low_rank_linear(
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
///
/// # Panics
///
/// If it does not [serve](serves) the scores; it takes them to write the result in their place.
pub(crate) fn disentangled_softmax(
    scores: Tensor<4>,
    by_query: Tensor<3>,
    by_key: Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Tensor<4> {
    let [by_query, by_key] = [by_query, by_key].map(Tensor::into_dispatch);
    let (scores, mask) = (scores.into_dispatch(), mask.clone().into_dispatch());
    let out = Dispatch::disentangled_softmax(scores, by_query, by_key, mask);
    Tensor::from_dispatch(out)
}

/// Disentangled attention without a gradient, from projections to what the heads see.
///
/// # Shapes
///
/// - query, key, value and output: `[batch, seq, heads · head_dim]`
/// - of_keys, of_queries: `[heads, 2 · seq, head_dim]`, what queries and keys are multiplied with by their distance, from
///   `seq - 1` down
/// - mask: `[1, batch, 1, seq]`
///
/// # Panics
///
/// If it does not [serve](serves) the query.
pub(crate) fn disentangled_attention(
    projections: [Tensor<3>; 3],
    positions: [Tensor<3>; 2],
    mask: &Tensor<4, Bool>,
    scale: f64,
) -> Tensor<3> {
    let [query, key, value] = projections.map(|x| x.without_autodiff().into_dispatch());
    let [of_keys, of_queries] = positions.map(|x| x.without_autodiff().into_dispatch());
    let (mask, scale) = (mask.clone().into_dispatch(), scale as f32);
    let out = Dispatch::disentangled_attention(query, key, value, of_keys, of_queries, mask, scale);
    Tensor::from_dispatch(out)
}

/// `softmax(scores + hidden · (by_text + by_token)) · hidden` without a gradient: what the first token of each text sees.
///
/// # Shapes
///
/// - hidden: `[batch, seq, width]`
/// - by_text and output: `[batch, heads, width]`
/// - by_token: `[heads, seq, width]`
/// - scores: `[batch, heads, seq]`
/// - mask: `[1, batch, 1, seq]`
///
/// # Panics
///
/// If it does not [serve](serves) the hidden states.
pub(crate) fn first_attention(
    hidden: Tensor<3>,
    by_text: Tensor<3>,
    by_token: Tensor<3>,
    scores: Tensor<3>,
    mask: &Tensor<4, Bool>,
) -> Tensor<3> {
    let [hidden, by_text, by_token, scores] =
        [hidden, by_text, by_token, scores].map(|x| x.without_autodiff().into_dispatch());
    let mask = mask.clone().into_dispatch();
    let out = Dispatch::first_attention(hidden, by_text, by_token, scores, mask);
    Tensor::from_dispatch(out)
}

/// `beta · mean + (1 − beta) · x`, or of its square.
///
/// # Panics
///
/// If it does not [serve](serves) both; it takes the mean to write the result in its place.
pub(crate) fn moving_mean<const D: usize>(
    mean: Tensor<D>,
    x: Tensor<D>,
    beta: f32,
    squared: bool,
) -> Tensor<D> {
    let [mean, x] = [mean, x].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::moving_mean(mean, x, beta, squared))
}

/// `keep · weights − rate · moment_1 / (√(correction · moment_2) + epsilon)`
///
/// # Panics
///
/// If it does not [serve](serves) all; it takes the weights to write the result in their place.
pub(crate) fn adamw_update<const D: usize>(
    weights: Tensor<D>,
    moment_1: Tensor<D>,
    moment_2: Tensor<D>,
    step: AdamWStep,
) -> Tensor<D> {
    let [weights, moment_1, moment_2] = [weights, moment_1, moment_2].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::adamw_update(weights, moment_1, moment_2, step))
}
