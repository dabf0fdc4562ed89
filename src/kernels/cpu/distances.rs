//! The scores of disentangled attention in one pass.
//!
//! Relative-position vectors are stored by distance `j − i`, one row per dimension. Query `i + 1` reads the same rows shifted
//! by one, so no per-pair position score is ever stored.

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::cpu::product::ROWS;
use crate::kernels::cpu::simd::{load, side_by_side, store};

/// Rounds a number of columns up to whole vectors.
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(16)
}

/// Length of a row of distances, with the margin that [`Scores`] reads over.
pub(crate) fn distances(seq: usize) -> usize {
    padded(ROWS + seq + padded(seq))
}

/// Position of the distance `key − query` in such a row.
pub(crate) fn place(seq: usize, query: usize, key: usize) -> usize {
    ROWS + seq - 1 + key - query
}

/// `out[i, j] = query[i] · (key[j] + of_keys[j - i]) + key[j] · of_queries[j - i]`
pub(crate) struct Scores<'a> {
    /// `[seq, padded(seq)]`
    pub(crate) out: &'a mut [f32],
    /// `[seq, head_dim]`, in rows of `stride`
    pub(crate) query: &'a [f32],
    pub(crate) stride: usize,
    /// `[head_dim, padded(seq)]`
    pub(crate) keys: &'a [f32],
    /// Position vectors that queries are multiplied with, `[head_dim, distances(seq)]`, each at its [`place`]
    pub(crate) of_keys: &'a [f32],
    /// Position vectors that keys are multiplied with, stored alike
    pub(crate) of_queries: &'a [f32],
    pub(crate) seq: usize,
    pub(crate) head_dim: usize,
}

impl Scores<'_> {
    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }

    /// Computes a block of up to six rows by `VECTORS` vectors of columns.
    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        packed: &[f32],
        row: usize,
        column: usize,
    ) {
        let (columns, distances) = (padded(self.seq), distances(self.seq));
        let width = VECTORS * S::F32_LANES;
        // Distances of the last row come first.
        let first = place(self.seq, row + ROWS - 1, column);
        let near = first..first + ROWS - 1 + width;
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; VECTORS]; ROWS];
        let keys = self.keys.chunks_exact(columns);
        let of_both = self
            .of_keys
            .chunks_exact(distances)
            .zip(self.of_queries.chunks_exact(distances));
        let queries = packed.as_chunks::<ROWS>().0;
        for ((query, keys), (of_keys, of_queries)) in queries.iter().zip(keys).zip(of_both) {
            let keys = load::<S, VECTORS>(simd, &keys[column..column + width]);
            let (of_keys, of_queries) = (&of_keys[near.clone()], &of_queries[near.clone()]);
            for (place, (sums, &query)) in sums.iter_mut().zip(query).enumerate() {
                let query = simd.splat_f32s(query);
                let own = ROWS - 1 - place..ROWS - 1 - place + width;
                let of_keys = load::<S, VECTORS>(simd, &of_keys[own.clone()]);
                let of_queries = load::<S, VECTORS>(simd, &of_queries[own]);
                for vector in 0..VECTORS {
                    let sum = &mut sums[vector];
                    *sum = simd.mul_add_e_f32s(query, keys[vector], *sum);
                    *sum = simd.mul_add_e_f32s(query, of_keys[vector], *sum);
                    *sum = simd.mul_add_e_f32s(keys[vector], of_queries[vector], *sum);
                }
            }
        }
        for (place, sums) in sums.iter().enumerate().take(self.seq - row) {
            let start = (row + place) * columns + column;
            store(simd, &mut self.out[start..start + width], sums);
        }
    }
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = padded(self.seq);
        let mut packed = vec![0.0; ROWS * self.head_dim];
        for row in (0..self.seq).step_by(ROWS) {
            let queries = core::array::from_fn(|place| {
                let row = (row + place).min(self.seq - 1);
                &self.query[row * self.stride..][..self.head_dim]
            });
            side_by_side::<ROWS>(queries, &mut packed, ROWS);
            let mut column = 0;
            while column < columns {
                if columns - column >= 2 * S::F32_LANES {
                    self.block::<S, 2>(simd, &packed, row, column);
                    column += 2 * S::F32_LANES;
                } else {
                    self.block::<S, 1>(simd, &packed, row, column);
                    column += S::F32_LANES;
                }
            }
        }
    }
}
