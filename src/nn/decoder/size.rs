//! How many numbers a decoder has, told by its shape.

use crate::nn::decoder::config::{DecoderConfig, KeysAndValues, LayerType};

/// How many numbers a decoder has of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderSize {
    /// In the projections of all layers.
    pub projections: u64,
    /// In the projections of the largest layer.
    pub largest_layer: u64,
    /// In the embeddings and, if it is a weight of its own, the head.
    pub embeddings: u64,
    /// In the embeddings for each layer.
    pub per_layer_embeddings: u64,
    /// In everything else: norms, biases and the like.
    pub rest: u64,
    /// In LoRA factors of rank 1 for all projections.
    pub lora: u64,
    /// In keys and values of a token, in layers that see everything.
    pub cached: u64,
    /// The same in layers that see the last `sliding_window` tokens.
    pub cached_in_window: u64,
}

impl DecoderSize {
    /// All weights.
    pub fn total(&self) -> u64 {
        let all = [
            self.projections,
            self.embeddings,
            self.per_layer_embeddings,
            self.rest,
        ];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

impl DecoderConfig {
    /// Counts the numbers that a model of this shape has.
    pub fn size(&self) -> DecoderSize {
        let product = |sizes: &[usize]| {
            let sizes = sizes.iter().map(|&size| size as u64);
            sizes.fold(1, u64::saturating_mul)
        };
        let hidden = self.hidden_size;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let mut size = DecoderSize {
            embeddings: product(&[tables, self.vocab_size, hidden]),
            rest: hidden as u64,
            ..DecoderSize::default()
        };
        let own = self.hidden_size_per_layer_input;
        if own > 0 {
            let width = self.num_hidden_layers.saturating_mul(own);
            size.per_layer_embeddings = product(&[self.vocab_size_per_layer_input, width]);
            let added = product(&[hidden, width]).saturating_add(own as u64);
            size.rest = size.rest.saturating_add(added);
        }
        let n_norms = if self.post_norms { 4 } else { 2 };
        for layer_idx in 0..self.num_hidden_layers {
            let layer = self.layer(layer_idx);
            let queries = self.num_attention_heads.saturating_mul(layer.head_dim);
            let keys = layer.kv_heads.saturating_mul(layer.head_dim);
            let inner = layer.intermediate_size;
            let n_keys = match layer.keys_and_values {
                KeysAndValues::Own => 2,
                KeysAndValues::OneProjection => 1,
                KeysAndValues::Shared => 0,
            };
            // The width of each projection that is not `hidden_size`.
            let widths = [(2, queries), (n_keys, keys), (3, inner)];
            let sum = |each: &dyn Fn(usize) -> u64| {
                let sums = widths.iter().map(|&(n, width)| n as u64 * each(width));
                sums.fold(0, u64::saturating_add)
            };
            let projections = sum(&|width| product(&[width, hidden]));
            size.projections = size.projections.saturating_add(projections);
            size.largest_layer = size.largest_layer.max(projections);
            size.lora += sum(&|width| (width + hidden) as u64);
            let mut rest = n_norms * hidden;
            if self.qk_norm {
                rest += layer.head_dim * if n_keys > 0 { 2 } else { 1 };
            }
            if self.qkv_bias {
                rest += queries + n_keys * keys;
            }
            if self.output_bias {
                rest += hidden;
            }
            if self.mlp_bias {
                rest += 2 * inner + hidden;
            }
            if own > 0 {
                rest += hidden;
                size.rest = size.rest.saturating_add(product(&[2, own, hidden]));
            }
            let rest = (rest + usize::from(self.layer_scalar)) as u64;
            size.rest = size.rest.saturating_add(rest);
            if n_keys > 0 {
                let cached = match layer.layer_type {
                    LayerType::FullAttention => &mut size.cached,
                    LayerType::SlidingAttention => &mut size.cached_in_window,
                };
                *cached += 2 * keys as u64;
            }
        }
        size
    }

    /// How many numbers a training step keeps of a token in a sequence of `seq`, in one layer: the norms' inputs and outputs,
    /// queries, keys and values, attention weights, what the heads see, and the gate, its partner and their product.
    pub fn activations(&self, layer_idx: usize, seq: usize) -> u64 {
        let (layer, heads) = (self.layer(layer_idx), self.num_attention_heads);
        let norms = if self.post_norms { 8 } else { 4 };
        let keys_and_values = 2 * layer.kv_heads * layer.head_dim;
        let attention = 2 * heads * layer.head_dim + keys_and_values + heads * seq;
        (norms * self.hidden_size + attention + 3 * layer.intermediate_size) as u64
    }
}
