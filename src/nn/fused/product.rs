//! Products of matrices of which one is narrow.
//!
//! A general product copies both operands into the order in which its innermost loop reads them. That pays when each
//! number is used hundreds of times, not with the 16 columns of a LoRA factor or the few rows of a decoding step.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::threads;

/// Rows of the innermost loop: with two vectors of columns they fill the registers.
const ROWS: usize = 6;

/// In how many threads a matrix of so many numbers is read.
pub(super) fn readers(count: usize) -> usize {
    threads(count, 1 << 18)
}

/// A matrix that is read number by number.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

/// `out += lhs · rhs`
///
/// # Shapes
///
/// - lhs: `[rows, inner]`
/// - rhs: `[inner, columns]`, dense
/// - out: `[rows, columns]`, dense
pub(super) struct AddProduct<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) lhs: Strided<'a>,
    pub(super) rhs: &'a [f32],
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

impl AddProduct<'_> {
    pub(super) fn run(self) {
        if self.rows > 0 && self.inner > 0 && self.columns > 0 {
            Arch::new().dispatch(self);
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
        for (lhs, rhs) in packed.chunks_exact(ROWS).zip(rhs) {
            let rhs = load::<S, VECTORS>(simd, &rhs[column..column + width]);
            for (sums, &lhs) in sums.iter_mut().zip(lhs) {
                let lhs = simd.splat_f32s(lhs);
                for (sum, &rhs) in sums.iter_mut().zip(&rhs) {
                    *sum = simd.mul_add_e_f32s(lhs, rhs, *sum);
                }
            }
        }
        for (place, sums) in sums.iter().enumerate().take(self.rows - row) {
            let start = (row + place) * self.columns + column;
            let out = &mut self.out[start..start + width];
            let old = load::<S, VECTORS>(simd, out);
            for (vector, (&old, &sum)) in old.iter().zip(sums).enumerate() {
                let rest = &mut out[vector * S::F32_LANES..];
                let lanes = rest.len().min(S::F32_LANES);
                simd.partial_store_f32s(&mut rest[..lanes], simd.add_f32s(old, sum));
            }
        }
    }

    #[inline(always)]
    fn row_of_blocks<S: Simd>(
        &mut self,
        simd: S,
        packed: &[f32],
        row: usize,
        column: usize,
    ) -> usize {
        if self.columns - column >= 2 * S::F32_LANES {
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

impl WithSimd for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let size = self.inner * ROWS;
        let blocks = self.rows.div_ceil(ROWS);
        if self.columns <= self.rows || self.inner <= self.rows {
            // A narrow result or a narrow sum: six rows from end to end.
            let mut packed = vec![0.0; size];
            for row in (0..self.rows).step_by(ROWS) {
                self.pack(row, &mut packed);
                let mut column = 0;
                while column < self.columns {
                    column += self.row_of_blocks(simd, &packed, row, column);
                }
            }
        } else {
            // Few rows: all of them for one stripe of columns after the other, so that each stripe is read once.
            let mut packed = vec![0.0; size * blocks];
            for (block, packed) in packed.chunks_exact_mut(size).enumerate() {
                self.pack(block * ROWS, packed);
            }
            let mut column = 0;
            while column < self.columns {
                let mut step = 0;
                for (block, packed) in packed.chunks_exact(size).enumerate() {
                    step = self.row_of_blocks(simd, packed, block * ROWS, column);
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
    // Column by column first: threads divide the columns among themselves.
    let mut transposed = vec![0.0; rows * columns];
    let share = columns.div_ceil(readers(rhs.len())).max(1);
    transposed
        .par_chunks_mut(share * rows)
        .zip(rhs.par_chunks(share * inner))
        .for_each(|(out, rhs)| {
            Arch::new().dispatch(Dots {
                out,
                lhs,
                rhs,
                inner,
            });
        });
    let mut out = vec![0.0; rows * columns];
    for (column, values) in transposed.chunks_exact(rows).enumerate() {
        for (row, &value) in values.iter().enumerate() {
            out[row * columns + column] = value;
        }
    }
    out
}

/// `out[column][row] = lhs[row] · rhs[column]`
struct Dots<'a> {
    out: &'a mut [f32],
    lhs: &'a [f32],
    rhs: &'a [f32],
    inner: usize,
}

impl Dots<'_> {
    /// The products of `L` rows of `lhs` with `R` rows of `rhs`.
    #[inline(always)]
    fn block<S: Simd, const L: usize, const R: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let inner = self.inner;
        let rows = self.lhs.len() / inner;
        let lhs: [&[f32]; L] = core::array::from_fn(|place| {
            &self.lhs[(row + place) * inner..(row + place + 1) * inner]
        });
        let rhs: [&[f32]; R] = core::array::from_fn(|place| {
            &self.rhs[(column + place) * inner..(column + place + 1) * inner]
        });
        let lhs = lhs.map(S::as_simd_f32s);
        let rhs = rhs.map(S::as_simd_f32s);
        let mut sums = [[simd.splat_f32s(0.0); R]; L];
        let count = lhs[0].0.len();
        for step in 0..count {
            let rhs: [S::f32s; R] = core::array::from_fn(|place| rhs[place].0[step]);
            for (sums, lhs) in sums.iter_mut().zip(&lhs) {
                let lhs = lhs.0[step];
                for (sum, &rhs) in sums.iter_mut().zip(&rhs) {
                    *sum = simd.mul_add_e_f32s(lhs, rhs, *sum);
                }
            }
        }
        for (left, (sums, lhs)) in sums.iter().zip(&lhs).enumerate() {
            for (right, (&sum, rhs)) in sums.iter().zip(&rhs).enumerate() {
                let rest: f32 = lhs.1.iter().zip(rhs.1).map(|(a, b)| a * b).sum();
                self.out[(column + right) * rows + row + left] = simd.reduce_sum_f32s(sum) + rest;
            }
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const R: usize>(&mut self, simd: S, column: usize) {
        let rows = self.lhs.len() / self.inner;
        let mut row = 0;
        while row + 4 <= rows {
            self.block::<S, 4, R>(simd, row, column);
            row += 4;
        }
        while row < rows {
            self.block::<S, 1, R>(simd, row, column);
            row += 1;
        }
    }
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.rhs.len() / self.inner;
        let mut column = 0;
        while column + 3 <= columns {
            self.columns::<S, 3>(simd, column);
            column += 3;
        }
        while column < columns {
            self.columns::<S, 1>(simd, column);
            column += 1;
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
                    let expected = plain(
                        |row, i| lhs[row * inner + i],
                        |i, column| rhs[i * columns + column],
                        [rows, inner, columns],
                    );
                    let expected: Vec<f32> =
                        expected.iter().zip(&before).map(|(a, b)| a + b).collect();
                    let turned: Vec<f32> = (0..inner * rows)
                        .map(|place| lhs[place % rows * inner + place / rows])
                        .collect();
                    for (values, row_stride, column_stride) in
                        [(&lhs, inner, 1), (&turned, 1, rows)]
                    {
                        let mut out = before.clone();
                        AddProduct {
                            out: &mut out,
                            lhs: Strided {
                                values,
                                row_stride,
                                column_stride,
                            },
                            rhs: &rhs,
                            rows,
                            inner,
                            columns,
                        }
                        .run();
                        assert_close(&out, &expected, &format!("{rows} {inner} {columns}"));
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
        for rows in [1, 2, 4, 7, 16] {
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
