//! The operations on the CPU backend's tensors.

use burn::backend::flex::{Flex, FlexTensor};

use crate::kernels::{
    AdamWStep, Fused, adamw, attention, disentangled, elementwise, first, low_rank, norm, rotary,
    simd, softmax,
};
use crate::nn::decoder::cache::SharedPrompt;

impl Fused for Flex {
    fn gelu(x: FlexTensor) -> FlexTensor {
        elementwise::gelu(x)
    }

    fn gated_gelu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        elementwise::gated_gelu(gate, up)
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
        norm::rms_norm(x, weight, eps)
    }

    fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        norm::layer_norm(x, weight, bias, eps)
    }

    fn masked_softmax(scores: FlexTensor, mask: FlexTensor, scale: f32) -> FlexTensor {
        softmax::masked_softmax(scores, &mask, scale)
    }

    fn attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        mask: FlexTensor,
        prompts: Vec<SharedPrompt>,
        scale: f32,
    ) -> FlexTensor {
        attention::attention(query, key, value, &mask, &prompts, scale)
    }

    fn rotate_heads(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        let (cos, sin) = (simd::dense(cos), simd::dense(sin));
        rotary::rotate(x, &cos, &sin, rotary::Layout::Tokens, 1.0)
    }

    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        low_rank::linear(x, weight)
    }

    fn add_bias(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        elementwise::add_bias(x, bias)
    }

    fn low_rank_linear(
        x: FlexTensor,
        weight: FlexTensor,
        lora_a: FlexTensor,
        lora_b: FlexTensor,
        scaling: f32,
    ) -> FlexTensor {
        low_rank::forward(x, weight, lora_a, lora_b, scaling).0
    }

    fn disentangled_softmax(
        scores: FlexTensor,
        by_query: FlexTensor,
        by_key: FlexTensor,
        mask: FlexTensor,
    ) -> FlexTensor {
        disentangled::forward(scores, by_query, by_key, &mask)
    }

    fn moving_mean(mean: FlexTensor, x: FlexTensor, beta: f32, squared: bool) -> FlexTensor {
        adamw::moving_mean(mean, x, beta, squared)
    }

    fn disentangled_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        of_keys: FlexTensor,
        of_queries: FlexTensor,
        mask: FlexTensor,
        scale: f32,
    ) -> FlexTensor {
        disentangled::attention([query, key, value], [of_keys, of_queries], &mask, scale)
    }

    fn first_attention(
        hidden: FlexTensor,
        by_text: FlexTensor,
        by_token: FlexTensor,
        scores: FlexTensor,
        mask: FlexTensor,
    ) -> FlexTensor {
        first::attention(hidden, [by_text, by_token], scores, &mask)
    }

    fn adamw_update(
        weights: FlexTensor,
        moment_1: FlexTensor,
        moment_2: FlexTensor,
        step: AdamWStep,
    ) -> FlexTensor {
        adamw::update(weights, moment_1, moment_2, step)
    }
}
