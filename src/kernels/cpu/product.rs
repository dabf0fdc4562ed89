//! Matrix products with one narrow operand.
//!
//! A general product (GEMM) first packs both operands in the order its innermost loop reads. That pays off when each value
//! is used hundreds of times, not for the 16 columns of a LoRA factor or the keys that one new token attends to.

use prefetch_index::prefetch_index;
use pulp::{Arch, Simd, WithSimd};

use crate::kernels::cpu::simd::{load, side_by_side, store};

/// Rows of the innermost block: with two vectors of columns (four with 32 registers) their sums fill the registers.
pub(crate) const ROWS: usize = 6;

/// How many values ahead of the loop memory is prefetched.
pub(crate) const AHEAD: usize = 256;

/// A matrix by its strides.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// `out = lhs · rhs`, or `out += lhs · rhs` with `adds`.
///
/// # Shapes
///
/// - lhs: `[rows, inner]`
/// - rhs: `[inner, columns]`, dense
/// - out: `[rows, columns]`, dense
pub(crate) struct Product<'a> {
    pub(crate) out: &'a mut [f32],
    pub(crate) adds: bool,
    pub(crate) lhs: Strided<'a>,
    pub(crate) rhs: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
}

impl Product<'_> {
    pub(crate) fn run(self) {
        if self.rows > 0 && self.inner > 0 && self.columns > 0 {
            Arch::new().dispatch(self);
        }
    }

    /// Packs up to six rows from `first`, column by column; lanes of missing rows hold anything, as their sums are not stored.
    #[inline(always)]
    fn pack(&self, first: usize, packed: &mut [f32]) {
        let rows = ROWS.min(self.rows - first);
        let Strided {
            values,
            row_stride,
            column_stride,
        } = self.lhs;
        if column_stride == 1 {
            // The last row stands in for missing ones.
            let rows = core::array::from_fn(|row| {
                let start = (first + row.min(rows - 1)) * row_stride;
                &values[start..start + self.inner]
            });
            return side_by_side::<ROWS>(rows, packed, ROWS);
        }
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

    /// Computes one block of the result: up to six rows by `VECTORS` vectors of columns, or by the rest of the columns.
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

    /// Computes a block of one row with several partial sums.
    #[inline(always)]
    fn lone_block<S: Simd, const VECTORS: usize>(&mut self, simd: S, row: usize, column: usize) {
        let width = (VECTORS * S::F32_LANES).min(self.columns - column);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; VECTORS]; 2];
        let lhs = &self.lhs.values[row * self.lhs.row_stride..];
        let lhs = lhs.iter().step_by(self.lhs.column_stride);
        let rhs = self.rhs.chunks_exact(self.columns);
        // Two partial sums in turn, so that additions do not wait for each other.
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
        self.store(simd, row, column, width, &all);
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
        store(simd, out, &sums);
    }

    /// Computes the widest block that fits at `row` and `column`; returns how many columns it has.
    #[inline(always)]
    fn next_block<S: Simd>(&mut self, simd: S, packed: &[f32], row: usize, column: usize) -> usize {
        let room = (self.columns - column) / S::F32_LANES;
        if room >= 4 && S::REGISTER_COUNT >= 32 {
            self.block::<S, 4>(simd, packed, row, column);
            4 * S::F32_LANES
        } else if room >= 2 {
            self.block::<S, 2>(simd, packed, row, column);
            2 * S::F32_LANES
        } else {
            self.block::<S, 1>(simd, packed, row, column);
            S::F32_LANES
        }
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (rows, columns) = (self.rows, self.columns);
        let size = self.inner * ROWS;
        let blocks = rows.div_ceil(ROWS);
        if rows <= 2 {
            let mut column = 0;
            while column < columns {
                let room = (columns - column) / S::F32_LANES;
                for row in 0..rows {
                    match room {
                        0 | 1 => self.lone_block::<S, 1>(simd, row, column),
                        2 => self.lone_block::<S, 2>(simd, row, column),
                        3 => self.lone_block::<S, 3>(simd, row, column),
                        _ => self.lone_block::<S, 4>(simd, row, column),
                    }
                }
                column += room.clamp(1, 4) * S::F32_LANES;
            }
        } else if columns <= rows || self.inner <= rows {
            // Narrow result or short sums: six rows at a time, all columns.
            let mut packed = vec![0.0; size];
            for row in (0..rows).step_by(ROWS) {
                self.pack(row, &mut packed);
                let mut column = 0;
                while column < columns {
                    column += self.next_block(simd, &packed, row, column);
                }
            }
        } else {
            // Few rows: all of them per stripe of columns, so that each stripe of `rhs` is read once.
            let mut packed = vec![0.0; size * blocks];
            for (block, packed) in packed.chunks_exact_mut(size).enumerate() {
                self.pack(block * ROWS, packed);
            }
            let mut column = 0;
            while column < columns {
                let mut step = 0;
                for (block, packed) in packed.chunks_exact(size).enumerate() {
                    step = self.next_block(simd, packed, block * ROWS, column);
                }
                column += step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, numbers, plain_product};

    #[test]
    fn narrow_products_of_all_shapes_are_those_of_the_plain_sums() {
        for rows in [1, 2, 5, 6, 13, 40] {
            for inner in [1, 3, 16, 50] {
                for columns in [1, 7, 8, 16, 17, 33, 100] {
                    let (lhs, rhs) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
                    let before = numbers(rows * columns, 3);
                    let products = plain_product(
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
                        let run = |out: &mut [f32], adds| {
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
                            product.run();
                        };
                        run(&mut out, true);
                        assert_close(&out, &sums, &case);
                        run(&mut out, false);
                        assert_close(&out, &products, &case);
                    }
                }
            }
        }
    }
}
