//! The cache of a decoder: which columns of its storage each row uses, as rows join, grow and leave.

use std::collections::HashMap;
use std::ops::Range;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::kernels::ops::SharedPrompt;
use crate::nn::batch::Lengths;
use crate::nn::decoder::storage::{BLOCK, SPARE, Storage};

/// A key/value cache for every layer of a decoder; an argument of its forward pass, never a part of the model.
///
/// All rows end at the same column, so that one write adds a token to each. A shorter row begins at a later column; the
/// columns before it are padding. The storage has spare columns, and new tokens are written into them in place. A layer that
/// sees the last tokens alone keeps no more than those and a few.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// Has at least as many slots as there are rows.
    storage: Storage,
    rows: Vec<Row>,
    /// The columns that the rows use.
    used: Range<usize>,
    /// How the number of columns that the layers see is rounded up; the added ones are padding in every row.
    lengths: Lengths,
    /// The least rows, and tokens in each, that new storage has room for.
    reserved: [usize; 2],
    /// How many prompts there have been.
    n_prompts: usize,
}

/// A row of a cache.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The column where it begins.
    start: usize,
    /// The prompt it begins with.
    prompt: usize,
    /// How many tokens of it are that prompt's.
    shared: usize,
    /// How many of its first tokens layers with a window did not have when it joined.
    missing: usize,
}

/// New tokens in a cache.
pub(crate) struct Extension {
    /// Those of the new tokens, `[rows, seq]`.
    pub(crate) positions: Tensor<2, Int>,
    /// Those of the columns that the layers see, `[rows, columns]`.
    pub(crate) key_positions: Tensor<2, Int>,
    /// True where a column that the layers see is padding, `[rows, columns]`.
    pub(crate) padding: Tensor<2, Bool>,
    /// The number of columns after those of the new tokens.
    pub(crate) behind: usize,
}

impl KvCache {
    /// Makes an empty cache with one row per number, which is how many tokens of padding the row will begin with.
    pub fn new(padding: Vec<usize>) -> Self {
        let rows = padding.into_iter().enumerate().map(|(prompt, start)| Row {
            start,
            prompt,
            shared: 0,
            missing: 0,
        });
        let rows: Vec<Row> = rows.collect();
        Self {
            storage: Storage::default(),
            n_prompts: rows.len(),
            rows,
            used: 0..0,
            lengths: Lengths::Exact,
            reserved: [0, 0],
        }
    }

    /// Returns the cache with the number of columns that the layers see rounded up by `lengths`.
    pub fn with_lengths(self, lengths: Lengths) -> Self {
        Self { lengths, ..self }
    }

    /// Reserves room for so many rows of so many tokens when the storage next has to grow, instead of growing step by step.
    pub fn reserve(&mut self, rows: usize, tokens: usize) {
        self.reserved = [rows, tokens];
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The number of tokens in the longest row.
    pub fn seq_len(&self) -> usize {
        self.used.len()
    }

    /// How many columns the layers see.
    pub fn columns(&self) -> usize {
        self.seen().len()
    }

    /// Makes room for `seq` more tokens in every row; each layer appends them afterwards.
    pub(crate) fn extend(&mut self, seq: usize, device: &Device) -> Extension {
        let rows = self.rows();
        let [slots, columns] = self.storage.room();
        if !self.storage.layers.is_empty() && self.used.end + seq > columns {
            let few = 2 * rows <= slots;
            self.relocate(if few { rows } else { slots }, 0, seq);
        }
        let new = self.used.end..self.used.end + seq;
        self.used.end = new.end;
        let seen = self.seen();
        let mut positions = Vec::with_capacity(rows * seq);
        let mut key_positions = Vec::with_capacity(rows * seen.len());
        let mut padding = Vec::with_capacity(rows * seen.len());
        for row in &self.rows {
            let position = |column: usize| column.saturating_sub(row.start) as i32;
            positions.extend(new.clone().map(position));
            key_positions.extend(seen.clone().map(position));
            let real = row.start..self.used.end;
            padding.extend(seen.clone().map(|column| !real.contains(&column)));
        }
        let key_positions = TensorData::new(key_positions, [rows, seen.len()]);
        Extension {
            positions: Tensor::from_data(TensorData::new(positions, [rows, seq]), device),
            key_positions: Tensor::from_data(key_positions, device),
            padding: Tensor::from_data(TensorData::new(padding, [rows, seen.len()]), device),
            behind: seen.end - self.used.end,
        }
    }

    /// Groups the rows by the prompt they begin with, with the columns of that prompt in a layer that lacks the first `missing`
    /// columns.
    pub(crate) fn prompts(&self, missing: usize) -> Vec<SharedPrompt> {
        let seen = self.seen();
        let mut prompts: Vec<SharedPrompt> = Vec::with_capacity(self.rows());
        let mut places = HashMap::with_capacity(self.rows());
        for (row_idx, row) in self.rows.iter().enumerate() {
            let place = *places.entry(row.prompt).or_insert_with(|| {
                let start = row.start - seen.start;
                prompts.push(SharedPrompt {
                    rows: Vec::new(),
                    columns: start.saturating_sub(missing)
                        ..(start + row.shared).saturating_sub(missing),
                });
                prompts.len() - 1
            });
            prompts[place].rows.push(row_idx);
        }
        prompts
    }

    /// The columns that the layers see.
    fn seen(&self) -> Range<usize> {
        let [_, columns] = self.storage.room();
        let seq = self.lengths.round(self.used.len());
        let end = (self.used.start + seq).min(columns.max(self.used.end));
        end.saturating_sub(seq).min(self.used.start)..end
    }

    /// Appends a layer's keys and values and returns all that it sees, as views.
    ///
    /// - window: how many tokens the layer sees, if not all; what it cannot see any more is dropped
    ///
    /// # Shapes
    ///
    /// - tokens: two of `[rows, kv_heads, seq, head_dim]`
    /// - output: two of `[rows, kv_heads, columns, head_dim]`, the last of the cache's columns, the new tokens among them
    pub(crate) fn append(
        &mut self,
        layer: usize,
        tokens: [Tensor<4>; 2],
        window: Option<usize>,
    ) -> [Tensor<4>; 2] {
        let [rows, _, seq, _] = tokens[0].dims();
        let (new, seen) = (self.used.end - seq..self.used.end, self.seen());
        self.storage.append(layer, tokens, window, new, seen.end);
        self.storage.view(layer, 0..rows, seen)
    }

    /// Lets a kernel write a token of each row into a layer's storage, `[slots, kv_heads, columns, head_dim]`, at the column
    /// passed to it. Returns `None` if the layer has no storage yet.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) fn step<T>(
        &mut self,
        layer: usize,
        change: impl FnOnce([Tensor<4>; 2], usize) -> (T, [Tensor<4>; 2]),
    ) -> Option<T> {
        let column = self.used.end - 1;
        self.storage.change(layer, |stored| change(stored, column))
    }

    /// The number of columns that each layer has memory for.
    #[cfg(test)]
    pub(crate) fn stored_columns(&self) -> Vec<usize> {
        self.storage.columns()
    }

    /// Adds the rows of `other` at `indices`, in that order; a row may be taken several times, to continue one prompt in
    /// several ways.
    pub fn join(&mut self, other: &Self, indices: &[usize]) {
        let Some(first) = other.storage.first().filter(|_| !indices.is_empty()) else {
            return;
        };
        let seq = other.seq_len();
        let picked: Vec<i32> = indices.iter().map(|&row| row as i32).collect();
        let picked = TensorData::new(picked, [indices.len()]);
        let picked = Tensor::<1, Int>::from_data(picked, &first.device());
        let rows = self.rows();
        let new = rows..rows + indices.len();
        if rows == 0 {
            self.used = 0..0;
            // What layers with a window have dropped was of rows that are gone.
            self.storage.forget_windows();
        }
        let is_new = self.storage.layers.is_empty();
        let [slots, _] = self.storage.room();
        let [reserved, _] = self.reserved;
        if is_new {
            self.storage.clone_from(&other.storage); // for its shapes
            self.take_storage(new.end.max(reserved), seq, 1);
        } else if seq > self.used.end || new.end > slots {
            let ahead = seq.saturating_sub(self.seq_len());
            self.relocate(new.end.max(slots).max(reserved), ahead, 1);
        }
        let place = self.used.end - seq..self.used.end;
        self.rows.extend(indices.iter().map(|&row| {
            let start = other.rows[row].start;
            Row {
                start: place.start + start - other.used.start,
                prompt: self.n_prompts + row,
                shared: other.used.end - start,
                missing: other.missing(row),
            }
        }));
        self.n_prompts += other.rows();
        let from = (&other.storage, other.used.clone());
        let pick = |stored: Tensor<4>| stored.select(0, picked.clone());
        self.storage.join(new, place, from, pick);
        self.forget_padding();
    }

    /// The number of tokens in a row.
    pub fn row_len(&self, row: usize) -> usize {
        self.used.end - self.rows[row].start
    }

    /// How many of the first tokens of a row layers with a window have not.
    fn missing(&self, row: usize) -> usize {
        let Row { start, missing, .. } = self.rows[row];
        missing.max(self.storage.dropped_from(start))
    }

    /// A cache of one of the rows alone, which takes no more memory than its tokens.
    pub fn row(&self, row: usize) -> Self {
        let own = self.rows[row];
        let columns = own.start..self.used.end;
        let one = Row {
            start: 0,
            prompt: 0,
            ..own
        };
        Self {
            storage: self.storage.row(row, &columns, self.missing(row)),
            rows: vec![one],
            used: 0..columns.len(),
            lengths: self.lengths,
            reserved: [0, 0],
            n_prompts: 1,
        }
    }

    /// Whether [`Self::forget`] can forget so many tokens.
    pub fn can_forget(&self, tokens: usize) -> bool {
        let end = self.used.end - tokens.min(self.used.len());
        self.storage.reaches(end)
    }

    /// Forgets the last tokens of every row.
    ///
    /// # Panics
    ///
    /// Panics if a layer with a window would need tokens then that it has dropped; up to 64 tokens can always be forgotten.
    pub fn forget(&mut self, tokens: usize) {
        self.used.end -= tokens.min(self.used.len());
        assert!(
            self.storage.reaches(self.used.end),
            "layers with a window keep {SPARE} tokens beyond it: {tokens} cannot be forgotten"
        );
        for row in &mut self.rows {
            row.start = row.start.min(self.used.end);
            row.shared = row.shared.min(self.used.end - row.start);
        }
    }

    /// Removes a row and puts the last one in its place.
    pub fn swap_remove(&mut self, row: usize) {
        let last = self.rows() - 1;
        if row < last {
            self.storage.copy_row(last, row, &self.used);
        }
        self.rows.swap_remove(row);
        self.forget_padding();
    }

    /// Stops using the first columns that are padding in every row.
    fn forget_padding(&mut self) {
        let starts = self.rows.iter().map(|row| row.start);
        self.used.start = starts.min().unwrap_or(self.used.end);
    }

    /// Moves all rows so that `ahead` columns before them and at least `behind` after them are free: within their storage,
    /// if it has room.
    fn relocate(&mut self, slots: usize, ahead: usize, behind: usize) {
        // Layers with a window are filled up with columns that no row has.
        for row in 0..self.rows() {
            self.rows[row].missing = self.missing(row);
        }
        let [own_slots, own_columns] = self.storage.room();
        let place = ahead..ahead + self.seq_len();
        // Leftovers of a move may be visible where columns are rounded up.
        let has_room = slots <= own_slots && place.end + behind <= own_columns;
        if !has_room || self.lengths != Lengths::Exact {
            return self.take_storage(slots, ahead, behind);
        }
        let rows = self.rows();
        if rows > 0 && place != self.used {
            self.storage
                .shift(0..rows, self.used.clone(), place.clone());
        }
        self.moved_to(place);
    }

    /// Moves all rows to new storage.
    fn take_storage(&mut self, slots: usize, ahead: usize, behind: usize) {
        let place = ahead..ahead + self.seq_len();
        let [_, reserved] = self.reserved;
        let end = (place.end + behind).max(ahead + reserved);
        let columns = end.next_multiple_of(BLOCK);
        let from = (0..self.rows(), self.used.clone());
        self.storage.grow([slots, columns], from, place.clone());
        self.moved_to(place);
    }

    fn moved_to(&mut self, place: Range<usize>) {
        for row in &mut self.rows {
            row.start = row.start + place.start - self.used.start;
        }
        self.used = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const HEADS: usize = 2;
    const HEAD_DIM: usize = 3;

    /// Keys of one token a row, all of a row the same number; its values are the number negated.
    fn tokens(numbers: &[Vec<f32>]) -> [Tensor<4>; 2] {
        let (rows, seq) = (numbers.len(), numbers[0].len());
        let keys = Tensor::<2>::from_data(
            TensorData::new(numbers.concat(), [rows, seq]),
            &Device::default(),
        );
        let keys = keys
            .reshape([rows, 1, seq, 1])
            .expand([rows, HEADS, seq, HEAD_DIM]);
        [keys.clone(), -keys]
    }

    /// Writes tokens into both layers and returns the keys and values that the second layer sees.
    fn append(cache: &mut KvCache, numbers: &[Vec<f32>]) -> [Tensor<4>; 2] {
        cache.extend(numbers[0].len(), &Device::default());
        let [keys, values] = tokens(numbers);
        cache.append(0, [values.clone(), keys.clone()], None);
        cache.append(1, [keys, values], None)
    }

    /// A cache of rows that were one batch with padding on the left.
    fn batch(rows: &[Vec<f32>]) -> KvCache {
        let seq = rows.iter().map(Vec::len).max().unwrap();
        let padding = |row: &Vec<f32>| seq - row.len();
        let padded = rows
            .iter()
            .map(|row| [vec![-1.0; padding(row)], row.clone()].concat());
        let mut cache = KvCache::new(rows.iter().map(padding).collect());
        append(&mut cache, &padded.collect::<Vec<_>>());
        cache
    }

    fn check(cache: &KvCache, seen: [Tensor<4>; 2], expected: &[Vec<f32>]) {
        let [keys, values] = seen;
        assert_eq!(cache.rows(), expected.len());
        let longest = expected.iter().map(Vec::len).max().unwrap();
        assert_eq!(keys.dims(), [expected.len(), HEADS, longest, HEAD_DIM]);
        (keys.clone() + values)
            .into_data()
            .assert_eq(&keys.zeros_like().into_data(), true);
        for (row, expected) in expected.iter().enumerate() {
            assert_eq!(
                cache.rows[row].start - cache.used.start,
                longest - expected.len()
            );
            for head in 0..HEADS {
                let start = longest - expected.len();
                let place = [row..row + 1, head..head + 1, start..longest, 0..1];
                let found = keys.clone().slice(place).into_data();
                assert_eq!(found.as_slice::<f32>().unwrap(), expected, "row {row}");
            }
        }
    }

    #[test]
    fn rows_of_any_length_join_and_leave_and_each_keeps_its_tokens() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut rows: Vec<Vec<f32>> = Vec::new();
        let mut cache = KvCache::new(Vec::new());
        let mut next = 0.0;
        for step in 0..400 {
            while rows.is_empty() || (rows.len() < 6 && rng.random_bool(0.1)) {
                let others: Vec<Vec<f32>> = (0..rng.random_range(1..4))
                    .map(|_| {
                        let start = rng.random_range(0..1000) as f32;
                        let len = rng.random_range(1..100);
                        (0..len).map(|token| start + token as f32).collect()
                    })
                    .collect();
                let indices: Vec<usize> = (0..rng.random_range(1..4))
                    .map(|_| rng.random_range(0..others.len()))
                    .collect();
                cache.join(&batch(&others), &indices);
                rows.extend(indices.iter().map(|&row| others[row].clone()));
            }
            let new: Vec<Vec<f32>> = rows
                .iter_mut()
                .map(|row| {
                    next += 1.0;
                    row.push(next);
                    vec![next]
                })
                .collect();
            let seen = append(&mut cache, &new);
            check(&cache, seen, &rows);
            while !rows.is_empty() && (rows.len() > 7 || rng.random_bool(0.07)) {
                let row = rng.random_range(0..rows.len());
                rows.swap_remove(row);
                cache.swap_remove(row);
            }
            assert!(cache.storage.room()[1] <= 6 * BLOCK, "step {step}");
        }
    }

    #[test]
    fn rows_that_continue_one_prompt_share_its_columns_until_the_last_has_left() {
        let mut cache = KvCache::new(Vec::new());
        cache.join(&batch(&[vec![1.0, 2.0, 3.0], vec![4.0]]), &[0, 1, 0]);
        append(&mut cache, &[vec![5.0], vec![6.0], vec![7.0]]);
        cache.join(&batch(&[vec![8.0, 9.0]]), &[0]);
        let shared = |rows: &[usize], columns| SharedPrompt {
            rows: rows.to_vec(),
            columns,
        };
        let (long, short) = (shared(&[0, 2], 0..3), shared(&[1], 2..3));
        assert_eq!(cache.prompts(0), [long, short, shared(&[3], 2..4)]);
        cache.swap_remove(0);
        let long = shared(&[2], 0..3);
        assert_eq!(
            cache.prompts(0),
            [shared(&[0], 2..4), shared(&[1], 2..3), long]
        );
        cache.forget(2);
        let long = shared(&[2], 0..2);
        assert_eq!(cache.prompts(0)[2], long);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn storage_grows_once_in_a_while_and_is_written_in_place_between() {
        let place = |cache: &KvCache| {
            let [keys, _] = cache.storage.layers[1].stored.clone();
            let keys = keys.try_into_primitive::<burn::backend::flex::Flex>();
            keys.unwrap().bytes().as_ptr()
        };
        for (reserved, expected) in [(0, 3), (3 * BLOCK, 1)] {
            let mut cache = batch(&[vec![1.0, 2.0], vec![3.0]]);
            cache.reserve(0, reserved);
            let mut places = Vec::new();
            for step in 0..3 * BLOCK - 2 {
                append(&mut cache, &[vec![step as f32], vec![0.0]]);
                places.push(place(&cache));
            }
            places.dedup();
            assert_eq!(places.len(), expected, "{reserved} tokens reserved");
            assert_eq!(cache.storage.room(), [2, 3 * BLOCK]);
        }
    }

    #[test]
    fn what_a_row_that_left_wrote_is_not_before_the_row_that_takes_its_place() {
        let mut cache = batch(&[vec![1.0; 5], vec![f32::NAN; 5]]);
        append(&mut cache, &[vec![2.0], vec![f32::NAN]]);
        cache.swap_remove(1);
        cache.join(&batch(&[vec![3.0]]), &[0]);
        let [keys, values] = append(&mut cache, &[vec![4.0], vec![5.0]]);
        for seen in [keys, values] {
            assert!(!seen.is_nan().any().into_scalar::<bool>());
        }
    }
}
