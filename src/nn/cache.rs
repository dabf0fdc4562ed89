//! Keys and values of the tokens seen so far.

use burn::tensor::{Bool, Int, Tensor};

/// A key/value cache for every layer of a decoder; an argument of its forward pass, never a part of the model.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    layers: Vec<(Tensor<4>, Tensor<4>)>,
    padding: Option<Tensor<2, Bool>>,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tokens each row holds, padding included.
    pub fn seq_len(&self) -> usize {
        self.layers.first().map_or(0, |(keys, _)| keys.dims()[2])
    }

    /// Appends a layer's keys and values and returns all of that layer's.
    ///
    /// # Shapes
    ///
    /// - keys, values: `[batch, kv_heads, seq, head_dim]`
    /// - output: two of `[batch, kv_heads, seq_len + seq, head_dim]`
    pub fn append(
        &mut self,
        layer: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        if layer == self.layers.len() {
            self.layers.push((keys, values));
        } else {
            let (old_keys, old_values) = &mut self.layers[layer];
            *old_keys = Tensor::cat(vec![old_keys.clone(), keys], 2);
            *old_values = Tensor::cat(vec![old_values.clone(), values], 2);
        }
        self.layers[layer].clone()
    }

    /// Appends which of the new tokens are padding and returns it for all tokens.
    ///
    /// # Shapes
    ///
    /// - padding: `[batch, seq]`, true where a token is padding
    pub fn append_padding(&mut self, padding: Tensor<2, Bool>) -> Tensor<2, Bool> {
        let all = match self.padding.take() {
            Some(old) => Tensor::cat(vec![old, padding], 1),
            None => padding,
        };
        self.padding = Some(all.clone());
        all
    }

    /// The rows at `indices`, in that order; a row may be taken several times, to continue one prompt in several ways.
    ///
    /// # Shapes
    ///
    /// - indices: `[rows]`
    pub fn select(&self, indices: Tensor<1, Int>) -> Self {
        let pick = |tensor: &Tensor<4>| tensor.clone().select(0, indices.clone());
        Self {
            layers: self
                .layers
                .iter()
                .map(|(keys, values)| (pick(keys), pick(values)))
                .collect(),
            padding: self
                .padding
                .clone()
                .map(|padding| padding.int().select(0, indices.clone()).bool()),
        }
    }
}
