//! Dot products of a few rows with each row of a matrix, which may be stored as bf16.

use prefetch_index::prefetch_index;
use pulp::{Simd, WithSimd};

use crate::kernels::cpu::product::AHEAD;

/// Parallel read streams for one row: a single stream reaches half of the memory bandwidth.
const STREAMS: usize = 8;

/// The most f32 lanes that a vector has.
const MOST_LANES: usize = 16;

/// A storage format of a matrix: one vector of it decodes to one or two vectors of f32.
pub(crate) trait Stored: Copy + Sync + Send {
    /// Values per stored word.
    const NUMBERS: usize;

    /// One `T` per decoded vector of f32.
    type Each<T: Copy>: Copy + AsRef<[T]> + AsMut<[T]>;

    /// A vector of stored words.
    type Vector<S: Simd>: Copy;

    /// Repeats a value for each decoded vector.
    fn each<T: Copy>(value: T) -> Self::Each<T>;

    /// Returns the whole vectors of a row, without the rest.
    fn vectors<S: Simd>(row: &[Self]) -> &[Self::Vector<S>];

    /// Decodes a vector; of two decoded vectors the first has the even and the second the odd positions.
    fn read<S: Simd>(simd: S, vector: Self::Vector<S>) -> Self::Each<S::f32s>;

    /// Decodes one value.
    fn number(row: &[Self], idx: usize) -> f32;
}

impl Stored for f32 {
    const NUMBERS: usize = 1;

    type Each<T: Copy> = [T; 1];

    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn each<T: Copy>(value: T) -> [T; 1] {
        [value]
    }

    #[inline(always)]
    fn vectors<S: Simd>(row: &[Self]) -> &[S::f32s] {
        S::as_simd_f32s(row).0
    }

    #[inline(always)]
    fn read<S: Simd>(_: S, vector: S::f32s) -> [S::f32s; 1] {
        [vector]
    }

    #[inline(always)]
    fn number(row: &[Self], idx: usize) -> f32 {
        row[idx]
    }
}

/// Two bf16 values per word, the first in the lower half.
impl Stored for u32 {
    const NUMBERS: usize = 2;

    type Each<T: Copy> = [T; 2];

    type Vector<S: Simd> = S::u32s;

    #[inline(always)]
    fn each<T: Copy>(value: T) -> [T; 2] {
        [value; 2]
    }

    #[inline(always)]
    fn vectors<S: Simd>(row: &[Self]) -> &[S::u32s] {
        S::as_simd_u32s(row).0
    }

    #[inline(always)]
    fn read<S: Simd>(simd: S, vector: S::u32s) -> [S::f32s; 2] {
        let lower = simd.wrapping_dyn_shl_u32s(vector, simd.splat_u32s(16));
        let upper = simd.and_u32s(vector, simd.splat_u32s(0xffff_0000));
        [
            simd.transmute_f32s_u32s(lower),
            simd.transmute_f32s_u32s(upper),
        ]
    }

    #[inline(always)]
    fn number(row: &[Self], idx: usize) -> f32 {
        let word = row[idx / 2];
        f32::from_bits(if idx.is_multiple_of(2) {
            word << 16
        } else {
            word & 0xffff_0000
        })
    }
}

/// `out[row][column] = lhs[row] · rhs[column]` for up to eight rows, which share each read of `rhs`.
pub(crate) struct Dots<'a, N> {
    pub(crate) out: &'a mut [f32],
    pub(crate) lhs: &'a [f32],
    pub(crate) rhs: &'a [N],
    pub(crate) inner: usize,
}

impl<N: Stored> Dots<'_, N> {
    fn rows(&self) -> usize {
        self.lhs.len() / self.inner
    }

    /// Rearranges `ROWS` rows into vectors in the order of [`Stored::read`]; the last row stands in for missing ones.
    #[inline(always)]
    fn interleave<S: Simd, const ROWS: usize>(&self, simd: S) -> Vec<N::Each<[S::f32s; ROWS]>> {
        let (rows, step) = (self.rows(), S::F32_LANES * N::NUMBERS);
        let mut lhs = vec![N::each([simd.splat_f32s(0.0); ROWS]); self.inner / step];
        let mut lanes = [0.0; MOST_LANES];
        let lanes = &mut lanes[..S::F32_LANES];
        for (idx, parts) in lhs.iter_mut().enumerate() {
            for (part, vectors) in parts.as_mut().iter_mut().enumerate() {
                for (row, vector) in vectors.iter_mut().enumerate() {
                    let numbers = &self.lhs[row.min(rows - 1) * self.inner + idx * step..][..step];
                    let numbers = numbers[part..].iter().step_by(N::NUMBERS);
                    for (lane, &number) in lanes.iter_mut().zip(numbers) {
                        *lane = number;
                    }
                    *vector = S::as_simd_f32s(lanes).0[0];
                }
            }
        }
        lhs
    }

    /// Computes the dot products of [interleaved](Self::interleave) rows with `COLUMNS` rows of `rhs` that are `apart` rows
    /// from each other.
    #[inline(always)]
    fn dots<S: Simd, const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        lhs: &[N::Each<[S::f32s; ROWS]>],
        column: usize,
        apart: usize,
    ) {
        let (rows, width) = (self.rows(), self.inner / N::NUMBERS);
        let columns = self.rhs.len() / width;
        let rhs: [&[N]; COLUMNS] = core::array::from_fn(|place| {
            let column = column + place * apart;
            &self.rhs[column * width..(column + 1) * width]
        });
        let vectors = rhs.map(|rhs| &N::vectors::<S>(rhs)[..lhs.len()]);
        let mut sums = [[simd.splat_f32s(0.0); ROWS]; COLUMNS];
        for (step, lhs) in lhs.iter().enumerate() {
            for (sums, rhs) in sums.iter_mut().zip(&vectors) {
                prefetch_index(rhs, step + AHEAD / S::F32_LANES);
                let rhs = N::read(simd, rhs[step]);
                for (&rhs, lhs) in rhs.as_ref().iter().zip(lhs.as_ref()) {
                    for (sum, &lhs) in sums.iter_mut().zip(lhs) {
                        *sum = simd.mul_add_e_f32s(lhs, rhs, *sum);
                    }
                }
            }
        }
        let rest = S::F32_LANES * N::NUMBERS * lhs.len()..self.inner;
        let mut dots = [[0.0; ROWS]; COLUMNS];
        let lhs = self.lhs.chunks_exact(self.inner);
        for (dots, (sums, rhs)) in dots.iter_mut().zip(sums.into_iter().zip(rhs)) {
            for (dot, (sum, lhs)) in dots.iter_mut().zip(sums.into_iter().zip(lhs.clone())) {
                let rest: f32 = rest.clone().map(|idx| lhs[idx] * N::number(rhs, idx)).sum();
                *dot = simd.reduce_sum_f32s(sum) + rest;
            }
        }
        for (place, dots) in dots.iter().enumerate() {
            let out = self.out[column + place * apart..].iter_mut();
            for (out, dot) in out.step_by(columns).zip(&dots[..ROWS.min(rows)]) {
                *out = *dot;
            }
        }
    }

    /// Computes all products of up to `ROWS` rows, reading `rhs` in `COLUMNS` streams.
    #[inline(always)]
    fn all<S: Simd, const ROWS: usize, const COLUMNS: usize>(mut self, simd: S) {
        let lhs = self.interleave::<S, ROWS>(simd);
        let columns = self.rhs.len() * N::NUMBERS / self.inner;
        let apart = columns / COLUMNS;
        for column in 0..apart {
            self.dots::<S, ROWS, COLUMNS>(simd, &lhs, column, apart);
        }
        for column in COLUMNS * apart..columns {
            self.dots::<S, ROWS, 1>(simd, &lhs, column, 1);
        }
    }
}

impl<N: Stored> WithSimd for Dots<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many streams as there are registers for.
        match self.rows() {
            1 => self.all::<S, 1, STREAMS>(simd),
            2 => self.all::<S, 2, 8>(simd),
            3 | 4 => self.all::<S, 4, 6>(simd),
            5 | 6 => self.all::<S, 6, 4>(simd),
            _ => self.all::<S, 8, 3>(simd),
        }
    }
}
