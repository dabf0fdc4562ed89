//! The operations on the tape, each with its backward pass.

use core::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend};

use crate::kernels::simd::dense;
use crate::kernels::{
    AdamWStep, Fused, disentangled, elementwise, low_rank, norm, rotary, softmax,
};
use crate::nn::decoder::cache::SharedPrompt;

/// A step on the tape: from what was saved and the gradient of the result to those of the parents that need one.
#[derive(Debug)]
struct Step<S, const N: usize> {
    gradients: Gradient<S, N>,
}

type Gradient<S, const N: usize> = fn(S, FlexTensor, [bool; N]) -> [Option<FlexTensor>; N];

impl<S: Clone + Send + Debug + 'static, const N: usize> Backward<Flex, N> for Step<S, N> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = (self.gradients)(ops.state, grad, wanted);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(node), Some(result)) = (parent, result) {
                grads.register::<Flex>(node.id, result);
            }
        }
    }
}

/// Runs an operation and writes it on the tape if a parent is there; `forward` gives its result and what to save.
fn record<C: CheckpointStrategy, S: Clone + Send + Debug + 'static, const N: usize>(
    parents: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, S),
    gradients: Gradient<S, N>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = parents.each_ref().map(|parent| parent.node());
    let values = parents.map(|parent| parent.into_primitive());
    let step = Step { gradients };
    match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (result, saved) = forward(values);
            prep.finish(saved, result)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(values).0),
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 1>(
            [x],
            |[x]| {
                let x = dense(x);
                (elementwise::gelu(x.clone()), x)
            },
            |x, grad, _| [Some(elementwise::gelu_gradient(x, grad))],
        )
    }

    fn gated_gelu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 2>(
            [gate, up],
            |[gate, up]| {
                let saved = [dense(gate), dense(up)];
                let [gate, up] = saved.clone();
                (elementwise::gated_gelu(gate, up), saved)
            },
            |[gate, up], grad, _| elementwise::gated_gelu_gradients(gate, up, grad).map(Some),
        )
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        record::<C, _, 2>(
            [x, weight],
            |[x, weight]| {
                let (x, weight) = (dense(x), dense(weight));
                let out = norm::rms_norm(x.clone(), weight.clone(), eps);
                (out, (x, weight, eps))
            },
            |(x, weight, eps), grad, wanted| {
                norm::rms_norm_gradients(&x, &weight, eps, grad, wanted)
            },
        )
    }

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
                let out = norm::layer_norm(x.clone(), weight.clone(), bias, eps);
                (out, (x, weight, eps))
            },
            |(x, weight, eps), grad, wanted| {
                norm::layer_norm_gradients(&x, &weight, eps, grad, wanted)
            },
        )
    }

    fn masked_softmax(
        scores: FloatTensor<Self>,
        mask: FlexTensor,
        scale: f32,
    ) -> FloatTensor<Self> {
        record::<C, _, 1>(
            [scores],
            |[scores]| {
                let weights = softmax::masked_softmax(scores, &mask, scale);
                (weights.clone(), (weights, mask, scale))
            },
            |(weights, mask, scale), grad, _| {
                [Some(softmax::softmax_gradient(
                    &weights, &mask, scale, grad,
                ))]
            },
        )
    }

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FlexTensor,
        prompts: Vec<SharedPrompt>,
        scale: f32,
    ) -> FloatTensor<Self> {
        // It is for tensors off the tape.
        let [query, key, value] = [query, key, value].map(Self::inner);
        Self::from_inner(Flex::attention(query, key, value, mask, prompts, scale))
    }

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
                let out = rotary::rotate(x, cos, sin, rotary::Layout::Tokens, 1.0);
                (out, angles)
            },
            |[cos, sin], grad, _| {
                let to_x = rotary::rotate(grad, &cos, &sin, rotary::Layout::Heads, -1.0);
                [Some(to_x), None, None]
            },
        )
    }

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 2>(
            [x, weight],
            |[x, weight]| (low_rank::linear(x.clone(), weight.clone()), [x, weight]),
            low_rank::linear_gradients,
        )
    }

    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 2>(
            [x, bias],
            |[x, bias]| (elementwise::add_bias(x, bias), ()),
            |(), grad, wanted| elementwise::add_bias_gradients(grad, wanted),
        )
    }

    fn first_attention(
        hidden: FloatTensor<Self>,
        by_text: FloatTensor<Self>,
        by_token: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        mask: FlexTensor,
    ) -> FloatTensor<Self> {
        // It is for tensors off the tape.
        let [hidden, by_text, by_token, scores] =
            [hidden, by_text, by_token, scores].map(Self::inner);
        Self::from_inner(Flex::first_attention(
            hidden, by_text, by_token, scores, mask,
        ))
    }

    fn disentangled_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        of_keys: FloatTensor<Self>,
        of_queries: FloatTensor<Self>,
        mask: FlexTensor,
        scale: f32,
    ) -> FloatTensor<Self> {
        // It is for tensors off the tape.
        let [query, key, value, of_keys, of_queries] =
            [query, key, value, of_keys, of_queries].map(Self::inner);
        Self::from_inner(Flex::disentangled_attention(
            query, key, value, of_keys, of_queries, mask, scale,
        ))
    }

    fn low_rank_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        lora_a: FloatTensor<Self>,
        lora_b: FloatTensor<Self>,
        scaling: f32,
    ) -> FloatTensor<Self> {
        record::<C, _, 4>(
            [x, weight, lora_a, lora_b],
            |[x, weight, lora_a, lora_b]| low_rank::forward(x, weight, lora_a, lora_b, scaling),
            low_rank::gradients,
        )
    }

    fn disentangled_softmax(
        scores: FloatTensor<Self>,
        by_query: FloatTensor<Self>,
        by_key: FloatTensor<Self>,
        mask: FlexTensor,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>(
            [scores, by_query, by_key],
            |[scores, by_query, by_key]| {
                let weights = disentangled::forward(scores, by_query, by_key, &mask);
                (weights.clone(), (weights, mask))
            },
            |(weights, mask), grad, _| disentangled::gradients(&weights, &mask, grad).map(Some),
        )
    }

    fn moving_mean(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: f32,
        _: bool,
    ) -> FloatTensor<Self> {
        unreachable!("an optimizer's step is not on the tape")
    }

    fn adamw_update(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: AdamWStep,
    ) -> FloatTensor<Self> {
        unreachable!("an optimizer's step is not on the tape")
    }
}
