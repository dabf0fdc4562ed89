//! Products of matrices of which one is narrow.
//!
//! A general product copies both operands into the order in which its innermost loop reads them. That pays when each
//! number is used hundreds of times, not with the 16 columns of a LoRA factor or the few rows of a decoding step.

use std::ops::Range;

use prefetch_index::prefetch_index;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::threads;

/// Rows of the innermost loop: with two vectors of columns, or four, they fill the registers.
const ROWS: usize = 6;

/// In how many places at once a matrix is read that is used once, and how many numbers ahead it is asked for: one place
/// gives half of what memory can deliver.
const STREAMS: usize = 8;
const AHEAD: usize = 256;

/// In how many threads a matrix of so many numbers is read.
pub(super) fn readers(count: usize) -> usize {
    threads(count, 1 << 18)
}

/// Rows that two vectors hold, at most.
const MOST_LANES: usize = 32;

/// A matrix that is read number by number.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

/// `out = lhs · rhs`, or that much more than it was
///
/// # Shapes
///
/// - lhs: `[rows, inner]`
/// - rhs: `[inner, columns]`, dense
/// - out: `[rows, columns]`, dense
pub(super) struct Product<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) adds: bool,
    pub(super) lhs: Strided<'a>,
    pub(super) rhs: &'a [f32],
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

impl Product<'_> {
    pub(super) fn run(self) {
        let columns = self.columns;
        self.run_within(|_| 0..columns);
    }

    /// Finds of each row the columns that it is asked for, and perhaps some beside them.
    pub(super) fn run_within(self, wanted: impl Fn(usize) -> Range<usize>) {
        if self.rows > 0 && self.inner > 0 && self.columns > 0 {
            let product = self;
            Arch::new().dispatch(Within { product, wanted });
        }
    }

    /// The numbers of up to six rows from `first`, column by column, with zeros for rows that are not there.
    #[inline(always)]
    fn pack(&self, first: usize, packed: &mut [f32]) {
        let rows = ROWS.min(self.rows - first);
        let Strided {
            values,
            row_stride,
            column_stride,
        } = self.lhs;
        if rows < ROWS {
            packed.fill(0.0);
        }
        for row in 0..rows {
            let values = values[(first + row) * row_stride..]
                .iter()
                .step_by(column_stride);
            for (packed, &value) in packed.chunks_exact_mut(ROWS).zip(values) {
                packed[row] = value;
            }
        }
    }

    /// One block of the result: up to six rows, and `VECTORS` vectors of columns or, if it is less than one, the rest.
    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        packed: &[f32],
        row: usize,
        column: usize,
    ) {
        let width = (VECTORS * S::F32_LANES).min(self.columns - column);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; VECTORS]; ROWS];
        let rhs = self.rhs.chunks_exact(self.columns);
        for (lhs, rhs) in packed.as_chunks::<ROWS>().0.iter().zip(rhs) {
            let rhs = load::<S, VECTORS>(simd, &rhs[column..column + width]);
            for (sums, &lhs) in sums.iter_mut().zip(lhs) {
                let lhs = simd.splat_f32s(lhs);
                for (sum, &rhs) in sums.iter_mut().zip(&rhs) {
                    *sum = simd.mul_add_e_f32s(lhs, rhs, *sum);
                }
            }
        }
        for (place, sums) in sums.iter().enumerate().take(self.rows - row) {
            self.store(simd, row + place, column, width, sums);
        }
    }

    /// One row of a block, which is all there is, in several sums at once.
    #[inline(always)]
    fn lone_block<S: Simd, const VECTORS: usize>(&mut self, simd: S, column: usize) {
        let width = (VECTORS * S::F32_LANES).min(self.columns - column);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; VECTORS]; 2];
        let lhs = self.lhs.values.iter().step_by(self.lhs.column_stride);
        let rhs = self.rhs.chunks_exact(self.columns);
        // Additions to one sum are two steps apart.
        for (step, (&lhs, rhs)) in lhs.zip(rhs).enumerate() {
            for vector in 0..VECTORS {
                let ahead = step * self.columns + column + vector * S::F32_LANES + AHEAD;
                prefetch_index(self.rhs, ahead);
            }
            let rhs = load::<S, VECTORS>(simd, &rhs[column..column + width]);
            let lhs = simd.splat_f32s(lhs);
            for (sum, &rhs) in sums[0].iter_mut().zip(&rhs) {
                *sum = simd.mul_add_e_f32s(lhs, rhs, *sum);
            }
            sums.swap(0, 1);
        }
        let [mut all, others] = sums;
        for (all, other) in all.iter_mut().zip(others) {
            *all = simd.add_f32s(*all, other);
        }
        self.store(simd, 0, column, width, &all);
    }

    #[inline(always)]
    fn store<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
        width: usize,
        sums: &[S::f32s; VECTORS],
    ) {
        let start = row * self.columns + column;
        let out = &mut self.out[start..start + width];
        let mut sums = *sums;
        if self.adds {
            for (sum, old) in sums.iter_mut().zip(load::<S, VECTORS>(simd, out)) {
                *sum = simd.add_f32s(old, *sum);
            }
        }
        for (out, sum) in out.chunks_mut(S::F32_LANES).zip(sums) {
            simd.partial_store_f32s(out, sum);
        }
    }

    /// A block of the rows from `row` and some of `wanted` columns from `column`; returns how many those are.
    #[inline(always)]
    fn next_block<S: Simd>(
        &mut self,
        simd: S,
        packed: &[f32],
        row: usize,
        column: usize,
        wanted: usize,
    ) -> usize {
        let room = (self.columns - column) / S::F32_LANES;
        let vectors = wanted.div_ceil(S::F32_LANES);
        if vectors > 2 && room >= 4 && S::REGISTER_COUNT >= 32 {
            self.block::<S, 4>(simd, packed, row, column);
            4 * S::F32_LANES
        } else if vectors > 1 && room >= 2 {
            self.block::<S, 2>(simd, packed, row, column);
            2 * S::F32_LANES
        } else {
            self.block::<S, 1>(simd, packed, row, column);
            S::F32_LANES
        }
    }
}

/// Vectors from a slice that they fill, or one from a slice that is shorter, with zeros behind.
#[inline(always)]
fn load<S: Simd, const VECTORS: usize>(simd: S, slice: &[f32]) -> [S::f32s; VECTORS] {
    let (whole, rest) = S::as_simd_f32s(slice);
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    if whole.len() >= VECTORS {
        vectors.copy_from_slice(&whole[..VECTORS]);
    } else {
        vectors[..whole.len()].copy_from_slice(whole);
        vectors[whole.len()] = simd.partial_load_f32s(rest);
    }
    vectors
}

/// A product of which some columns are wanted.
struct Within<'a, W> {
    product: Product<'a>,
    wanted: W,
}

impl<W: Fn(usize) -> Range<usize>> WithSimd for Within<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            mut product,
            wanted,
        } = self;
        let (rows, columns) = (product.rows, product.columns);
        let size = product.inner * ROWS;
        let blocks = rows.div_ceil(ROWS);
        if rows == 1 {
            let mut column = 0;
            while column < columns {
                let room = (columns - column) / S::F32_LANES;
                match room {
                    0 | 1 => product.lone_block::<S, 1>(simd, column),
                    2 => product.lone_block::<S, 2>(simd, column),
                    3 => product.lone_block::<S, 3>(simd, column),
                    _ => product.lone_block::<S, 4>(simd, column),
                }
                column += room.clamp(1, 4) * S::F32_LANES;
            }
        } else if columns <= rows || product.inner <= rows {
            // A narrow result or a narrow sum: six rows from end to end.
            let mut packed = vec![0.0; size];
            for row in (0..rows).step_by(ROWS) {
                product.pack(row, &mut packed);
                let last = (row + ROWS).min(rows) - 1;
                let [first, last] = [row, last].map(&wanted);
                let mut column = first.start.min(last.start);
                let end = first.end.max(last.end);
                while column < end {
                    column += product.next_block(simd, &packed, row, column, end - column);
                }
            }
        } else {
            // Few rows: all of them for one stripe of columns after the other, so that each stripe is read once.
            let mut packed = vec![0.0; size * blocks];
            for (block, packed) in packed.chunks_exact_mut(size).enumerate() {
                product.pack(block * ROWS, packed);
            }
            let mut column = 0;
            while column < columns {
                let mut step = 0;
                for (block, packed) in packed.chunks_exact(size).enumerate() {
                    let row = block * ROWS;
                    step = product.next_block(simd, packed, row, column, columns - column);
                }
                column += step;
            }
        }
    }
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

    /// `COLUMNS` rows of `rhs`.
    #[inline(always)]
    fn rhs<const COLUMNS: usize>(&self, column: usize) -> [&[f32]; COLUMNS] {
        core::array::from_fn(|place| {
            &self.rhs[(column + place) * self.inner..(column + place + 1) * self.inner]
        })
    }

    /// The products of one row with `COLUMNS` rows of `rhs`, each `apart` from the next: the sums of a vector's lanes.
    #[inline(always)]
    fn dots<S: Simd, const COLUMNS: usize>(&mut self, simd: S, column: usize, apart: usize) {
        let lhs = S::as_simd_f32s(self.lhs);
        let rhs: [_; COLUMNS] =
            core::array::from_fn(|place| S::as_simd_f32s(self.rhs::<1>(column + place * apart)[0]));
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
            .rhs::<COLUMNS>(column)
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
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// `lhs[row][i] · rhs[i][column]`, one number at a time.
    fn plain(
        lhs: impl Fn(usize, usize) -> f32,
        rhs: impl Fn(usize, usize) -> f32,
        shape: [usize; 3],
    ) -> Vec<f32> {
        let [rows, inner, columns] = shape;
        let mut out = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                out.push((0..inner).map(|i| lhs(row, i) * rhs(i, column)).sum());
            }
        }
        out
    }

    fn assert_close(got: &[f32], expected: &[f32], case: &str) {
        assert_eq!(got.len(), expected.len(), "{case}");
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-4, "{case}: {got} {expected}");
        }
    }

    #[test]
    fn narrow_products_of_all_shapes_are_those_of_the_plain_sums() {
        for rows in [1, 5, 6, 13, 40] {
            for inner in [1, 3, 16, 50] {
                for columns in [1, 7, 8, 16, 17, 33, 100] {
                    let (lhs, rhs) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
                    let before = numbers(rows * columns, 3);
                    let products = plain(
                        |row, i| lhs[row * inner + i],
                        |i, column| rhs[i * columns + column],
                        [rows, inner, columns],
                    );
                    let sums = products.iter().zip(&before).map(|(a, b)| a + b);
                    let sums: Vec<f32> = sums.collect();
                    let turned: Vec<f32> = (0..inner * rows)
                        .map(|place| lhs[place % rows * inner + place / rows])
                        .collect();
                    for (values, row_stride, column_stride) in
                        [(&lhs, inner, 1), (&turned, 1, rows)]
                    {
                        let case = format!("{rows} {inner} {columns}");
                        let mut out = before.clone();
                        let run =
                            |out: &mut [f32], adds, wanted: &dyn Fn(usize) -> Range<usize>| {
                                let lhs = Strided {
                                    values,
                                    row_stride,
                                    column_stride,
                                };
                                let product = Product {
                                    out,
                                    adds,
                                    lhs,
                                    rhs: &rhs,
                                    rows,
                                    inner,
                                    columns,
                                };
                                product.run_within(wanted);
                            };
                        run(&mut out, true, &|_| 0..columns);
                        assert_close(&out, &sums, &case);
                        run(&mut out, false, &|_| 0..columns);
                        assert_close(&out, &products, &case);
                        // A band that moves to the left by a column each row.
                        let wanted = |row: usize| {
                            let end = columns - row.min(columns - 1);
                            end.saturating_sub(5)..end
                        };
                        let mut out = vec![f32::NAN; rows * columns];
                        run(&mut out, false, &wanted);
                        for row in 0..rows {
                            let wanted = wanted(row);
                            let place = row * columns + wanted.start..row * columns + wanted.end;
                            assert_close(&out[place.clone()], &products[place], &case);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_of_few_rows_are_those_of_the_plain_sums() {
        let check = |rows: usize, inner: usize, columns: usize| {
            let (lhs, rhs) = (numbers(rows * inner, 4), numbers(columns * inner, 5));
            let expected = plain(
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
