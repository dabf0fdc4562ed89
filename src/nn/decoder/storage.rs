//! The memory of a cache: keys and values of each layer, with columns to spare that are written in place.

use std::ops::Range;

use burn::tensor::Tensor;

/// Columns by which full storage grows.
pub(super) const BLOCK: usize = 64;

/// Keys and values of each layer, `[slots, kv_heads, columns, head_dim]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Storage {
    pub(super) layers: Vec<[Tensor<4>; 2]>,
}

impl Storage {
    /// How many slots and columns there are.
    pub(super) fn room(&self) -> [usize; 2] {
        self.layers.first().map_or([0, 0], |[keys, _]| {
            let [slots, _, columns, _] = keys.dims();
            [slots, columns]
        })
    }

    /// Writes a layer's keys and values, `[rows, kv_heads, seq, head_dim]`, to the first rows at some columns; the first of a
    /// layer become its storage.
    pub(super) fn append(&mut self, layer: usize, tokens: [Tensor<4>; 2], columns: Range<usize>) {
        if layer == self.layers.len() {
            return self.layers.push(tokens);
        }
        for (stored, tokens) in self.layers[layer].iter_mut().zip(tokens) {
            let [rows, _, _, _] = tokens.dims();
            write(stored, 0..rows, columns.clone(), tokens);
        }
    }

    /// Returns a part of a layer's keys and values, not copied.
    pub(super) fn view(
        &self,
        layer: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> [Tensor<4>; 2] {
        let part = |stored| view(stored, rows.clone(), columns.clone());
        self.layers[layer].each_ref().map(part)
    }

    /// Hands a layer's keys and values to `change` and keeps what that returns, if the layer has any.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(super) fn change<T>(
        &mut self,
        layer: usize,
        change: impl FnOnce([Tensor<4>; 2]) -> (T, [Tensor<4>; 2]),
    ) -> Option<T> {
        // Out of the list, as storage that is written to must have one owner.
        let stored = (layer < self.layers.len()).then(|| self.layers.remove(layer))?;
        let (result, stored) = change(stored);
        self.layers.insert(layer, stored);
        Some(result)
    }

    /// Moves rows from some columns to others.
    pub(super) fn shift(&mut self, rows: Range<usize>, from: Range<usize>, to: Range<usize>) {
        for stored in self.layers.iter_mut().flatten() {
            let all = Tensor::arange(0..rows.len() as i64, &stored.device());
            // A copy, as storage that is written to must have one owner.
            let old = view(stored, rows.clone(), from.clone()).select(0, all);
            write(stored, rows.clone(), to.clone(), old);
        }
    }

    /// Replaces the storage by one of another size, and copies rows and columns of the old one to the columns `to`.
    pub(super) fn grow(
        &mut self,
        [slots, columns]: [usize; 2],
        (rows, from): (Range<usize>, Range<usize>),
        to: Range<usize>,
    ) {
        for stored in self.layers.iter_mut().flatten() {
            let [_, kv_heads, _, head_dim] = stored.dims();
            let options = (&stored.device(), stored.dtype());
            let new = Tensor::full([slots, kv_heads, columns, head_dim], 0.0, options);
            let old = std::mem::replace(stored, new);
            if !rows.is_empty() {
                let old = view(&old, rows.clone(), from.clone());
                write(stored, rows.clone(), to.clone(), old);
            }
        }
    }
}

/// Writes in place, if nothing else owns the data.
pub(super) fn write(
    stored: &mut Tensor<4>,
    rows: Range<usize>,
    columns: Range<usize>,
    values: Tensor<4>,
) {
    let [_, kv_heads, _, head_dim] = stored.dims();
    let place = [rows, 0..kv_heads, columns, 0..head_dim];
    stored.inplace(|stored| stored.slice_assign(place, values));
}

/// Writes zeros.
pub(super) fn clear(stored: &mut Tensor<4>, rows: Range<usize>, columns: Range<usize>) {
    if !columns.is_empty() {
        let [_, kv_heads, _, head_dim] = stored.dims();
        let place = [rows, 0..kv_heads, columns, 0..head_dim];
        stored.inplace(|stored| stored.slice_fill(place, 0.0));
    }
}

/// A part of the storage, not copied.
pub(super) fn view(stored: &Tensor<4>, rows: Range<usize>, columns: Range<usize>) -> Tensor<4> {
    let [_, kv_heads, _, head_dim] = stored.dims();
    let place = [rows, 0..kv_heads, columns, 0..head_dim];
    stored.clone().slice(place)
}
