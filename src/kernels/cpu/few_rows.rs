//! `lhs · rhsᵀ` for few rows of `lhs`, as in a decoding step: `rhs` is read once, in place.

use std::ops::Range;

use prefetch_index::prefetch_index;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::cpu::dots::{Dots, Stored};
use crate::kernels::cpu::simd::side_by_side;
use crate::kernels::cpu::tensors::threads;

/// The most lanes that two vectors have.
const MOST_LANES: usize = 32;

/// Returns how many threads to use for reading a matrix of `count` values.
pub(crate) fn readers(count: usize) -> usize {
    threads(count, 1 << 18)
}

/// Computes `lhs · rhsᵀ` for few rows of `lhs`; each row of `rhs` is read once, in place.
///
/// # Shapes
///
/// - lhs: `[rows, inner]`
/// - rhs: `[columns, inner]`
/// - output: `[rows, columns]`
pub(crate) fn few_rows(lhs: &[f32], rhs: &[f32], inner: usize) -> Vec<f32> {
    let sizes = [lhs.len() / inner, rhs.len() / inner, inner];
    in_parts(sizes, |columns, out| {
        let rhs = &rhs[columns.start * inner..columns.end * inner];
        let rows = FewRows {
            out,
            lhs,
            rhs,
            inner,
        };
        rows.run();
    })
}

/// Like [`few_rows`] for one row, with `rhs` in another [storage format](Stored).
pub(crate) fn one_row<N: Stored>(lhs: &[f32], rhs: &[N]) -> Vec<f32> {
    let inner = lhs.len();
    let width = inner / N::NUMBERS;
    in_parts([1, rhs.len() / width, inner], |columns, out| {
        let rhs = &rhs[columns.start * width..columns.end * width];
        let dots = Dots {
            out,
            lhs,
            rhs,
            inner,
        };
        Arch::new().dispatch(dots);
    })
}

/// Like [`few_rows`] for an `rhs` that `read` decodes a few rows at a time, small enough to stay in the cache.
pub(crate) fn few_rows_of(
    lhs: &[f32],
    columns: usize,
    inner: usize,
    read: impl Fn(Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    /// Values that fit in the L1/L2 cache.
    const CACHED: usize = 1 << 14;
    let rows = lhs.len() / inner;
    in_parts([rows, columns, inner], |columns, out| {
        let most = (CACHED / inner).clamp(8, columns.len().max(8));
        let mut rhs = vec![0.0; most * inner];
        let mut products = vec![0.0; rows * most];
        for start in columns.clone().step_by(most) {
            let end = columns.end.min(start + most);
            let rhs = &mut rhs[..(end - start) * inner];
            let products = &mut products[..rows * (end - start)];
            read(start..end, rhs);
            let some = FewRows {
                out: products,
                lhs,
                rhs,
                inner,
            };
            some.run();
            let out = out.chunks_exact_mut(columns.len());
            for (out, products) in out.zip(products.chunks_exact(end - start)) {
                out[start - columns.start..end - columns.start].copy_from_slice(products);
            }
        }
    })
}

/// Splits the columns among threads; `work` fills a part, `[rows, its columns]`, and the parts are joined.
///
/// `sizes` are rows, columns and the inner dimension.
fn in_parts(sizes: [usize; 3], work: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
    let [rows, columns, inner] = sizes;
    // For one row more pieces than threads: a thread that waits for memory leaves pieces to the others.
    let pieces = match (readers(columns * inner), rows) {
        (1, _) => 1,
        (threads, 1) => 4 * threads,
        (threads, _) => threads,
    };
    let share = columns.div_ceil(pieces).max(1);
    let mut parts: Vec<Vec<f32>> = (0..columns.div_ceil(share))
        .into_par_iter()
        .map(|part| {
            let columns = part * share..columns.min((part + 1) * share);
            let mut out = vec![0.0; rows * columns.len()];
            work(columns, &mut out);
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
pub(crate) struct FewRows<'a> {
    pub(crate) out: &'a mut [f32],
    pub(crate) lhs: &'a [f32],
    pub(crate) rhs: &'a [f32],
    pub(crate) inner: usize,
}

impl<'a> FewRows<'a> {
    fn dots(self) -> Dots<'a, f32> {
        Dots {
            out: self.out,
            lhs: self.lhs,
            rhs: self.rhs,
            inner: self.inner,
        }
    }

    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }

    fn rows(&self) -> usize {
        self.lhs.len() / self.inner
    }

    fn columns(&self) -> usize {
        self.rhs.len() / self.inner
    }

    /// Packs `width` rows from `first` on, column by column; lanes of missing rows hold anything, as their sums are not stored.
    #[inline(always)]
    fn pack(&self, first: usize, width: usize) -> Vec<f32> {
        const AT_ONCE: usize = 8;
        let mut packed = vec![0.0; self.inner * width];
        for place in (0..width).step_by(AT_ONCE) {
            let rows = core::array::from_fn(|row| {
                let row = (first + place + row).min(self.rows() - 1);
                &self.lhs[row * self.inner..(row + 1) * self.inner]
            });
            side_by_side::<AT_ONCE>(rows, &mut packed[place..], width);
        }
        packed
    }

    /// Multiplies [packed](Self::pack) rows with `COLUMNS` rows of `rhs`: one lane per row, so nothing is summed across
    /// lanes.
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
        let rhs: [_; COLUMNS] = core::array::from_fn(|place| {
            let column = column + place;
            self.rhs[column * self.inner..(column + 1) * self.inner].as_chunks::<STEPS>()
        });
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
            let (turned, _) = S::as_mut_simd_f32s(turned);
            turned[..VECTORS].copy_from_slice(sums);
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

    /// Computes all products, `COLUMNS` rows of `rhs` at a time.
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
    fn with_simd<S: Simd>(self, simd: S) {
        // For long rows the reduction across lanes at the end is cheap.
        let is_long = self.inner >= 16 * S::F32_LANES && S::REGISTER_COUNT >= 32;
        match self.rows() {
            1 => self.dots().with_simd(simd),
            2..=8 if is_long => self.dots().with_simd(simd),
            _ if S::REGISTER_COUNT < 32 => self.blocks::<S, 6>(simd),
            _ => self.blocks::<S, 8>(simd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, numbers, plain_product};

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
        for rows in [1, 2, 3, 6, 7, 16, 17, 40] {
            for inner in [1, 8, 19, 64, 261] {
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
