//! The memory of a cache: keys and values of each layer, with columns to spare that are written in place.

use std::ops::Range;

use burn::tensor::{Int, Tensor};

/// Columns by which full storage grows.
pub(super) const BLOCK: usize = 64;
/// Columns that a layer with a window keeps beyond it, so that the last tokens can be forgotten.
pub(super) const SPARE: usize = 64;

/// Keys and values of each layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Storage {
    pub(super) layers: Vec<LayerStorage>,
}

/// Keys and values of one layer: of all columns or, if it has a window, of the last ones.
#[derive(Clone, Debug)]
pub(super) struct LayerStorage {
    /// Two of `[slots, kv_heads, columns, head_dim]`.
    pub(super) stored: [Tensor<4>; 2],
    window: Option<usize>,
    /// How many of the cache's columns come before the first one that is here.
    dropped: usize,
}

impl Storage {
    /// How many slots there are, and how many columns in the layers that keep all; without such a layer there is no limit.
    pub(super) fn room(&self) -> [usize; 2] {
        let dims = |layer: &LayerStorage| {
            let [slots, _, columns, _] = layer.stored[0].dims();
            [slots, columns]
        };
        let whole = self.layers.iter().find(|layer| layer.window.is_none());
        match (whole, self.layers.first()) {
            (Some(whole), _) => dims(whole),
            (None, Some(first)) => [dims(first)[0], usize::MAX],
            (None, None) => [0, 0],
        }
    }

    /// Writes a layer's keys and values, `[rows, kv_heads, seq, head_dim]`, to the first rows at some columns; the first of a
    /// layer become its storage.
    ///
    /// - end: the end of the columns that will be seen, those of the tokens or later
    pub(super) fn append(
        &mut self,
        layer: usize,
        tokens: [Tensor<4>; 2],
        window: Option<usize>,
        columns: Range<usize>,
        end: usize,
    ) {
        if layer == self.layers.len() {
            return self.layers.push(LayerStorage {
                stored: tokens,
                window,
                dropped: columns.start,
            });
        }
        let layer = &mut self.layers[layer];
        layer.make_room(columns.start, end);
        let place = layer.local(&columns);
        for (stored, tokens) in layer.stored.iter_mut().zip(tokens) {
            let [rows, _, _, _] = tokens.dims();
            write(stored, 0..rows, place.clone(), tokens);
        }
    }

    /// Returns those of the columns of a layer's keys and values that it still has, not copied.
    pub(super) fn view(
        &self,
        layer: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> [Tensor<4>; 2] {
        let layer = &self.layers[layer];
        let place = layer.local(&columns);
        let part = |stored| view(stored, rows.clone(), place.clone());
        layer.stored.each_ref().map(part)
    }

    /// Whether each layer has what its window reaches from a column.
    pub(super) fn reaches(&self, column: usize) -> bool {
        self.layers.iter().all(|layer| {
            let window = layer.window.unwrap_or(0);
            layer.dropped + window <= column + 1 || layer.dropped == 0
        })
    }

    /// Hands a layer's keys and values to `change` and keeps what that returns, if the layer has any.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(super) fn change<T>(
        &mut self,
        layer: usize,
        change: impl FnOnce([Tensor<4>; 2]) -> (T, [Tensor<4>; 2]),
    ) -> Option<T> {
        // Out of the list, as storage that is written to must have one owner.
        let mut taken = (layer < self.layers.len()).then(|| self.layers.remove(layer))?;
        let (result, stored) = change(taken.stored);
        taken.stored = stored;
        self.layers.insert(layer, taken);
        Some(result)
    }

    /// Moves rows from some columns to others.
    pub(super) fn shift(&mut self, rows: Range<usize>, from: Range<usize>, to: Range<usize>) {
        for layer in &mut self.layers {
            let [slots, _, _, _] = layer.stored[0].dims();
            match layer.window {
                Some(window) => layer.grow_window(window, slots, &rows, &from, &to),
                None => {
                    for stored in &mut layer.stored {
                        let old = copied(view(stored, rows.clone(), from.clone()));
                        write(stored, rows.clone(), to.clone(), old);
                    }
                }
            }
        }
    }

    /// Replaces the storage by one of another size, and copies rows and columns of the old one to the columns `to`. Layers with
    /// a window get as many columns as they need.
    pub(super) fn grow(
        &mut self,
        [slots, columns]: [usize; 2],
        (rows, from): (Range<usize>, Range<usize>),
        to: Range<usize>,
    ) {
        for layer in &mut self.layers {
            match layer.window {
                Some(window) => layer.grow_window(window, slots, &rows, &from, &to),
                None => layer.replace([slots, columns], &rows, from.clone(), to.clone()),
            }
        }
    }

    /// Copies rows of another storage to the rows `rows` of this one, as `pick` picks them, at the columns `place`; of layers with
    /// a window, the last columns.
    ///
    /// - from: the columns of the other storage, as many as `place` has
    pub(super) fn join(
        &mut self,
        rows: Range<usize>,
        place: Range<usize>,
        (other, from): (&Self, Range<usize>),
        pick: impl Fn(Tensor<4>) -> Tensor<4>,
    ) {
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            let shared = mine.local(&place).len().min(theirs.local(&from).len());
            let place = mine.local(&(place.end - shared..place.end));
            let from = theirs.local(&(from.end - shared..from.end));
            for (stored, added) in mine.stored.iter_mut().zip(&theirs.stored) {
                let [slots, _, _, _] = added.dims();
                // Leftovers of a removed row are masked, so they only must not be NaN.
                clear(stored, rows.clone(), 0..place.start);
                let added = pick(view(added, 0..slots, from.clone()));
                write(stored, rows.clone(), place.clone(), added);
            }
        }
    }

    /// Begins anew, if a layer has a window.
    pub(super) fn forget_windows(&mut self) {
        if self.layers.iter().any(|layer| layer.window.is_some()) {
            self.layers.clear();
        }
    }

    /// A row's keys and values alone, with its columns from `columns.start` counted from 0.
    ///
    /// - missing: how many of the first columns layers with a window do not have
    pub(super) fn row(&self, row: usize, columns: &Range<usize>, missing: usize) -> Self {
        let layers = self.layers.iter().map(|layer| {
            let first = match layer.window {
                Some(_) => (columns.start + missing)
                    .max(layer.dropped)
                    .min(columns.end),
                None => columns.start,
            };
            let place = layer.local(&(first..columns.end));
            let part = |stored| copied(view(stored, row..row + 1, place.clone()));
            LayerStorage {
                stored: layer.stored.each_ref().map(part),
                window: layer.window,
                dropped: first - columns.start,
            }
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// How many columns from `start` on the layers with a window have dropped, at most.
    pub(super) fn dropped_from(&self, start: usize) -> usize {
        let windows = self.layers.iter().filter(|layer| layer.window.is_some());
        windows
            .map(|layer| layer.dropped.saturating_sub(start))
            .max()
            .unwrap_or(0)
    }

    /// Copies some columns of a row to another row.
    pub(super) fn copy_row(&mut self, from: usize, to: usize, columns: &Range<usize>) {
        for layer in &mut self.layers {
            let place = layer.local(columns);
            for stored in &mut layer.stored {
                let moved = copied(view(stored, from..from + 1, place.clone()));
                write(stored, to..to + 1, place.clone(), moved);
            }
        }
    }

    /// The number of columns of each layer.
    #[cfg(test)]
    pub(super) fn columns(&self) -> Vec<usize> {
        let layers = self.layers.iter();
        layers.map(|layer| layer.stored[0].dims()[2]).collect()
    }

    /// Any of the tensors, which tells the device.
    pub(super) fn first(&self) -> Option<&Tensor<4>> {
        self.layers.first().map(|layer| &layer.stored[0])
    }
}

impl LayerStorage {
    /// Where those of some columns are that are here.
    fn local(&self, columns: &Range<usize>) -> Range<usize> {
        let end = columns.end.max(self.dropped);
        let start = columns.start.max(self.dropped).min(end);
        start - self.dropped..end - self.dropped
    }

    /// Makes room for columns from `start` to `end` in a layer with a window, and drops what no later token sees.
    fn make_room(&mut self, start: usize, end: usize) {
        let [slots, _, columns, _] = self.stored[0].dims();
        let Some(window) = self.window else {
            return;
        };
        if end <= self.dropped + columns {
            return;
        }
        // Whole blocks, so that the number of columns that are seen takes few values.
        let first = start.saturating_sub(window + SPARE) / BLOCK * BLOCK;
        let first = first.max(self.dropped);
        // Dropping is worth it once in a while only.
        let size = end - first + BLOCK + window / 2;
        let (from, kept) = (self.local(&(first..start)), start - first);
        self.replace([slots, size], &(0..slots), from, 0..kept);
        self.dropped = first;
    }

    /// Renumbers the columns of a layer with a window so that those used go from `from` to `to`, with room for rows that will be
    /// joined to end at the same column.
    fn grow_window(
        &mut self,
        window: usize,
        slots: usize,
        rows: &Range<usize>,
        from: &Range<usize>,
        to: &Range<usize>,
    ) {
        let here = self.local(from);
        let needed = here.len().max((window + SPARE).min(to.end));
        let place = needed - here.len()..needed;
        self.replace([slots, needed + BLOCK], rows, here, place);
        self.dropped = to.end - needed;
    }

    /// Replaces the tensors by ones of another size, and copies rows and columns of the old ones to the columns `to`.
    fn replace(
        &mut self,
        [slots, columns]: [usize; 2],
        rows: &Range<usize>,
        from: Range<usize>,
        to: Range<usize>,
    ) {
        for stored in &mut self.stored {
            let [_, kv_heads, _, head_dim] = stored.dims();
            let options = (&stored.device(), stored.dtype());
            let new = Tensor::full([slots, kv_heads, columns, head_dim], 0.0, options);
            let old = std::mem::replace(stored, new);
            if !rows.is_empty() && !to.is_empty() {
                let old = view(&old, rows.clone(), from.clone());
                write(stored, rows.clone(), to.clone(), old);
            }
        }
    }
}

/// Writes in place, if nothing else owns the data.
fn write(stored: &mut Tensor<4>, rows: Range<usize>, columns: Range<usize>, values: Tensor<4>) {
    if !columns.is_empty() {
        let [_, kv_heads, _, head_dim] = stored.dims();
        let place = [rows, 0..kv_heads, columns, 0..head_dim];
        stored.inplace(|stored| stored.slice_assign(place, values));
    }
}

/// Writes zeros.
fn clear(stored: &mut Tensor<4>, rows: Range<usize>, columns: Range<usize>) {
    if !columns.is_empty() {
        let [_, kv_heads, _, head_dim] = stored.dims();
        let place = [rows, 0..kv_heads, columns, 0..head_dim];
        stored.inplace(|stored| stored.slice_fill(place, 0.0));
    }
}

/// A part of the storage, not copied.
fn view(stored: &Tensor<4>, rows: Range<usize>, columns: Range<usize>) -> Tensor<4> {
    let [_, kv_heads, _, head_dim] = stored.dims();
    let place = [rows, 0..kv_heads, columns, 0..head_dim];
    stored.clone().slice(place)
}

/// A copy, as storage that is written to must have one owner.
fn copied(part: Tensor<4>) -> Tensor<4> {
    let [rows, _, _, _] = part.dims();
    let all = Tensor::<1, Int>::arange(0..rows as i64, &part.device());
    part.select(0, all)
}
