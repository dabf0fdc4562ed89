//! Products of few rows, as of a decoding step, with a matrix whose rows are read where they lie.

use prefetch_index::prefetch_index;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::product::AHEAD;
use super::simd::threads;

/// In how many places at once a matrix is read that is used once: one place gives half of what memory can deliver.
const STREAMS: usize = 8;

/// Rows that two vectors hold, at most.
const MOST_LANES: usize = 32;

/// In how many threads a matrix of so many numbers is read.
pub(super) fn readers(count: usize) -> usize {
    threads(count, 1 << 18)
}

/// `out = lhs · rhsᵀ` for few rows: each row of `rhs` is read once, where it lies.
///
/// # Shapes
///
/// - lhs: `[rows, inner]`
/// - rhs: `[columns, inner]`
/// - output: `[rows, columns]`
pub(super) fn few_rows(lhs: &[f32], rhs: &[f32], inner: usize) -> Vec<f32> {
    let (rows, columns) = (lhs.len() / inner, rhs.len() / inner);
    // Threads divide the columns among themselves; one that has to wait for memory leaves some of its share to the others.
    let pieces = match (readers(rhs.len()), rows) {
        (1, _) => 1,
        (threads, 1) => 4 * threads,
        (threads, _) => threads,
    };
    let share = columns.div_ceil(pieces).max(1);
    let mut parts: Vec<Vec<f32>> = rhs
        .par_chunks(share * inner)
        .map(|rhs| {
            let mut out = vec![0.0; rows * (rhs.len() / inner)];
            FewRows {
                out: &mut out,
                lhs,
                rhs,
                inner,
            }
            .run();
            out
        })
        .collect();
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut out = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for part in &parts {
            let columns = part.len() / rows;
            out.extend_from_slice(&part[row * columns..(row + 1) * columns]);
        }
    }
    out
}

/// `out[row][column] = lhs[row] · rhs[column]`
pub(super) struct FewRows<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) lhs: &'a [f32],
    pub(super) rhs: &'a [f32],
    pub(super) inner: usize,
}

impl FewRows<'_> {
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }

    fn rows(&self) -> usize {
        self.lhs.len() / self.inner
    }

    fn columns(&self) -> usize {
        self.rhs.len() / self.inner
    }

    /// `COLUMNS` rows of `rhs`, each `apart` from the next.
    #[inline(always)]
    fn rhs<const COLUMNS: usize>(&self, column: usize, apart: usize) -> [&[f32]; COLUMNS] {
        core::array::from_fn(|place| {
            let column = column + place * apart;
            &self.rhs[column * self.inner..(column + 1) * self.inner]
        })
    }

    /// The products of one row with `COLUMNS` rows of `rhs`, each `apart` from the next: the sums of a vector's lanes.
    #[inline(always)]
    fn dots<S: Simd, const COLUMNS: usize>(&mut self, simd: S, column: usize, apart: usize) {
        let lhs = S::as_simd_f32s(self.lhs);
        let rhs = self.rhs::<COLUMNS>(column, apart).map(S::as_simd_f32s);
        let mut sums = [simd.splat_f32s(0.0); COLUMNS];
        for (step, &lhs) in lhs.0.iter().enumerate() {
            for (sum, rhs) in sums.iter_mut().zip(&rhs) {
                prefetch_index(rhs.0, step + AHEAD / S::F32_LANES);
                *sum = simd.mul_add_e_f32s(lhs, rhs.0[step], *sum);
            }
        }
        let rest = rhs.map(|rhs| lhs.1.iter().zip(rhs.1).map(|(a, b)| a * b).sum::<f32>());
        let out = self.out[column..].iter_mut().step_by(apart);
        for (out, (sum, rest)) in out.zip(sums.into_iter().zip(rest)) {
            *out = simd.reduce_sum_f32s(sum) + rest;
        }
    }

    /// The rows from `first` on, as many as `vectors` hold, number by number, with zeros for rows that are not there.
    fn pack(&self, first: usize, width: usize) -> Vec<f32> {
        let mut packed = vec![0.0; self.inner * width];
        let rows = self.lhs[first * self.inner..].chunks_exact(self.inner);
        for (place, row) in rows.take(width).enumerate() {
            for (packed, &value) in packed.chunks_exact_mut(width).zip(row) {
                packed[place] = value;
            }
        }
        packed
    }

    /// The products of [packed](Self::pack) rows with `COLUMNS` rows of `rhs`: a lane for each row, so that nothing is
    /// summed across lanes.
    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        packed: &[f32],
        row: usize,
        column: usize,
    ) {
        const STEPS: usize = 8;
        let (lhs, _) = S::as_simd_f32s(packed).0.as_chunks::<VECTORS>();
        let (lhs, lhs_rest) = lhs.as_chunks::<STEPS>();
        let rhs = self
            .rhs::<COLUMNS>(column, 1)
            .map(|rhs| rhs.as_chunks::<STEPS>());
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; COLUMNS];
        for (idx, lhs) in lhs.iter().enumerate() {
            let next = (column + COLUMNS) * self.inner + idx * STEPS;
            for place in 0..COLUMNS {
                prefetch_index(self.rhs, next + place * self.inner);
            }
            let rhs: [&[f32; STEPS]; COLUMNS] = core::array::from_fn(|place| &rhs[place].0[idx]);
            for (step, lhs) in lhs.iter().enumerate() {
                for (sums, rhs) in sums.iter_mut().zip(&rhs) {
                    let rhs = simd.splat_f32s(rhs[step]);
                    for (sum, &lhs) in sums.iter_mut().zip(lhs) {
                        *sum = simd.mul_add_e_f32s(rhs, lhs, *sum);
                    }
                }
            }
        }
        for (step, lhs) in lhs_rest.iter().enumerate() {
            for (sums, rhs) in sums.iter_mut().zip(&rhs) {
                let rhs = simd.splat_f32s(rhs.1[step]);
                for (sum, &lhs) in sums.iter_mut().zip(lhs) {
                    *sum = simd.mul_add_e_f32s(rhs, lhs, *sum);
                }
            }
        }
        let mut turned = [[0.0; MOST_LANES]; COLUMNS];
        for (turned, sums) in turned.iter_mut().zip(&sums) {
            for (turned, &sum) in turned.chunks_exact_mut(S::F32_LANES).zip(sums) {
                simd.partial_store_f32s(turned, sum);
            }
        }
        let columns = self.columns();
        let out = self.out[row * columns..].chunks_exact_mut(columns);
        for (lane, out) in out.take(VECTORS * S::F32_LANES).enumerate() {
            let out = &mut out[column..column + COLUMNS];
            for (out, turned) in out.iter_mut().zip(&turned) {
                *out = turned[lane];
            }
        }
    }

    /// All products, of `COLUMNS` rows of `rhs` at a time.
    #[inline(always)]
    fn blocks<S: Simd, const COLUMNS: usize>(mut self, simd: S) {
        let (rows, columns, lanes) = (self.rows(), self.columns(), S::F32_LANES);
        let groups: Vec<(usize, Vec<f32>)> = (0..rows)
            .step_by(2 * lanes)
            .map(|row| {
                let vectors = if rows - row > lanes { 2 } else { 1 };
                (row, self.pack(row, vectors * lanes))
            })
            .collect();
        let whole = columns - columns % COLUMNS;
        for column in (0..whole).step_by(COLUMNS) {
            for (row, packed) in &groups {
                if rows - row > lanes {
                    self.block::<S, 2, COLUMNS>(simd, packed, *row, column);
                } else {
                    self.block::<S, 1, COLUMNS>(simd, packed, *row, column);
                }
            }
        }
        for column in whole..columns {
            for (row, packed) in &groups {
                if rows - row > lanes {
                    self.block::<S, 2, 1>(simd, packed, *row, column);
                } else {
                    self.block::<S, 1, 1>(simd, packed, *row, column);
                }
            }
        }
    }
}

impl WithSimd for FewRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.columns();
        if self.rows() == 1 {
            let apart = columns / STREAMS;
            for column in 0..apart {
                self.dots::<S, STREAMS>(simd, column, apart);
            }
            for column in STREAMS * apart..columns {
                self.dots::<S, 1>(simd, column, 1);
            }
        } else if S::REGISTER_COUNT < 32 {
            self.blocks::<S, 6>(simd);
        } else {
            self.blocks::<S, 8>(simd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, numbers, plain_product};
    use super::*;

    #[test]
    fn products_of_few_rows_are_those_of_the_plain_sums() {
        let check = |rows: usize, inner: usize, columns: usize| {
            let (lhs, rhs) = (numbers(rows * inner, 4), numbers(columns * inner, 5));
            let expected = plain_product(
                |row, i| lhs[row * inner + i],
                |i, column| rhs[column * inner + i],
                [rows, inner, columns],
            );
            assert_close(&few_rows(&lhs, &rhs, inner), &expected, "few rows");
        };
        for rows in [1, 2, 7, 16, 17, 40] {
            for inner in [1, 8, 19, 64] {
                for columns in [1, 2, 3, 10, 31] {
                    check(rows, inner, columns);
                }
            }
        }
        let (inner, columns) = (515, 601);
        assert!(inner * columns > 1 << 18, "several threads have a share");
        check(1, inner, columns);
        check(5, inner, columns);
    }
}
