//! Products of many rows with a weight stored in panels.
//!
//! A panel holds as many columns of the product as the innermost loop computes at once, in the order in which that loop reads
//! them. So neither operand is packed per product, as a general product (GEMM) does; rows are read in place.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::cpu::norm::layer_norm_row;
use crate::kernels::cpu::product::ROWS;
use crate::kernels::cpu::simd::{load, store, vectorized};
use crate::kernels::cpu::tensors::{threads, values};

/// Length of the partial sums: so many rows of a panel stay in the cache.
const INNER: usize = 512;

/// f32 values per cache line; a vector across two lines costs two reads.
const LINE: usize = 16;

/// Packs a weight `[out, in]` into panels; returns the buffer and the range in it that holds them, aligned to cache lines.
pub(crate) fn pack(weight: &[f32], out: usize, inner: usize) -> (Vec<f32>, Range<usize>) {
    let width = panel_width();
    let count = out.next_multiple_of(width) * inner;
    let mut buffer = vec![0.0; count + LINE];
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let start = start.min(LINE);
    let panels = buffer[start..start + count].chunks_exact_mut(width * inner);
    for (panel, rows) in panels.zip(weight.chunks(width * inner)) {
        for (column, row) in rows.chunks_exact(inner).enumerate() {
            let places = panel[column..].iter_mut().step_by(width);
            places.zip(row).for_each(|(place, &value)| *place = value);
        }
    }
    (buffer, start..start + count)
}

/// Restores the weight `[out, in]` from its panels.
pub(crate) fn unpack(panels: &FlexTensor, out: usize, inner: usize) -> Vec<f32> {
    let width = panel_width();
    let mut weight = vec![0.0; out * inner];
    let panels = panel_values(panels).chunks_exact(width * inner);
    for (panel, rows) in panels.zip(weight.chunks_mut(width * inner)) {
        for (column, row) in rows.chunks_exact_mut(inner).enumerate() {
            let places = panel[column..].iter().step_by(width);
            places.zip(row).for_each(|(&place, value)| *value = place);
        }
    }
    weight
}

/// Borrows panels where they lie, so that they stay aligned to cache lines.
fn panel_values(panels: &FlexTensor) -> &[f32] {
    let layout = panels.layout();
    &panels.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
}

/// Returns how many columns a panel has on this processor.
fn panel_width() -> usize {
    Arch::new().dispatch(Width)
}

/// Computes a result of `rows` rows, about `at_once` rows per call of `make`, on several threads if `work` (a number of
/// products) is worth it; `make` also gets a scratch buffer.
pub(crate) fn in_parts(
    rows: usize,
    width: usize,
    work: usize,
    at_once: usize,
    make: impl Fn(Range<usize>, &mut [f32], &mut Vec<f32>) + Sync,
) -> Vec<f32> {
    /// Below this many products a second thread does not pay.
    const FEW: usize = 1 << 21;
    let mut out = vec![0.0; rows * width];
    let threads = threads(work, FEW);
    let at_once = at_once.min(rows.div_ceil(threads));
    let at_once = at_once.next_multiple_of(ROWS).max(8 * ROWS);
    let part = |scratch: &mut Vec<f32>, (part_idx, out): (usize, &mut [f32])| {
        let first = part_idx * at_once;
        make(first..first + out.len() / width, out, scratch);
    };
    if threads == 1 {
        let mut scratch = Vec::new();
        let parts = out.chunks_mut(at_once * width).enumerate();
        parts.for_each(|out| part(&mut scratch, out));
    } else {
        let parts = out.par_chunks_mut(at_once * width).enumerate();
        parts.for_each_init(Vec::new, part);
    }
    out
}

/// A linear layer with its weight in panels.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    panels: &'a [f32],
    bias: &'a [f32],
    inner: usize,
}

impl<'a> Layer<'a> {
    /// Borrows a layer; its bias must be dense.
    pub(crate) fn new(panels: &'a FlexTensor, bias: &'a FlexTensor) -> Self {
        let (panels, bias) = (panel_values(panels), values(bias));
        let inner = panels.len() / bias.len().next_multiple_of(panel_width());
        Self {
            panels,
            bias,
            inner,
        }
    }

    /// Returns the number of output features.
    pub(crate) fn columns(&self) -> usize {
        self.bias.len()
    }

    /// Returns how many products one row takes.
    pub(crate) fn work(&self) -> usize {
        self.inner * self.columns()
    }

    /// Computes `out = lhs · weightᵀ + bias`.
    pub(crate) fn multiply(&self, lhs: &[f32], out: &mut [f32]) {
        Arch::new().dispatch(Multiply {
            out,
            lhs,
            layer: *self,
        });
    }
}

/// Parameters of a layer norm.
pub(crate) struct Norm<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    eps: f32,
}

impl<'a> Norm<'a> {
    /// Borrows the parameters, which must be dense.
    pub(crate) fn new(scale: &'a FlexTensor, shift: &'a FlexTensor, eps: f32) -> Self {
        let (scale, shift) = (values(scale), values(shift));
        Self { scale, shift, eps }
    }

    /// Computes `out = norm(out + residual)` row by row.
    pub(crate) fn add_and_normalize(&self, out: &mut [f32], residual: &[f32]) {
        let width = self.scale.len();
        vectorized(
            #[inline(always)]
            || {
                let rows = out.chunks_exact_mut(width);
                for (out, residual) in rows.zip(residual.chunks_exact(width)) {
                    for (out, residual) in out.iter_mut().zip(residual) {
                        *out += residual;
                    }
                    layer_norm_row(out, self.scale, self.shift, self.eps);
                }
            },
        );
    }
}

/// Vectors per row of a panel: as many as there are registers for.
const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// Finds the width of a panel.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        vectors::<S>() * S::F32_LANES
    }
}

/// `out = lhs · weightᵀ + bias` for a part of the rows.
struct Multiply<'a> {
    out: &'a mut [f32],
    lhs: &'a [f32],
    layer: Layer<'a>,
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let rows = self.lhs.len() / self.layer.inner;
        for (panel_idx, panel) in self
            .layer
            .panels
            .chunks_exact(width * self.layer.inner)
            .enumerate()
        {
            let column = panel_idx * width;
            let end = self.layer.bias.len().min(column + width);
            let bias = load::<S, VECTORS>(simd, &self.layer.bias[column..end]);
            for (part_idx, panel) in panel.chunks(width * INNER).enumerate() {
                for row in (0..rows).step_by(ROWS) {
                    let mut sums = [bias; ROWS];
                    if part_idx > 0 {
                        self.resume(simd, row, column, &mut sums);
                    }
                    let sums = self.block(simd, panel, row, part_idx * INNER, sums);
                    self.store(simd, row, column, sums);
                }
            }
        }
    }

    /// Loads the partial sums of six rows.
    #[inline(always)]
    fn resume<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let columns = self.layer.bias.len();
        let end = columns.min(column + VECTORS * S::F32_LANES);
        let out = self.out[row * columns..].chunks(columns);
        for (out, sums) in out.zip(sums) {
            *sums = load(simd, &out[column..end]);
        }
    }

    /// Adds products of six rows with a part of a panel; the last row stands in for missing ones.
    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        panel: &[f32],
        row: usize,
        first: usize,
        mut sums: [[S::f32s; VECTORS]; ROWS],
    ) -> [[S::f32s; VECTORS]; ROWS] {
        let rows = self.lhs.len() / self.layer.inner;
        let (panel, _) = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>();
        let row_values = |place: usize| {
            let row = (row + place).min(rows - 1);
            &self.lhs[row * self.layer.inner + first..][..panel.len()]
        };
        let [a, b, c] = [row_values(0), row_values(1), row_values(2)];
        let [d, e, f] = [row_values(3), row_values(4), row_values(5)];
        let lhs = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f);
        for (panel, (((((a, b), c), d), e), f)) in panel.iter().zip(lhs) {
            for (sums, &lhs) in sums.iter_mut().zip([a, b, c, d, e, f]) {
                let lhs = simd.splat_f32s(lhs);
                for (sum, &panel) in sums.iter_mut().zip(panel) {
                    *sum = simd.mul_add_e_f32s(lhs, panel, *sum);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn store<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
        sums: [[S::f32s; VECTORS]; ROWS],
    ) {
        let columns = self.layer.bias.len();
        let end = columns.min(column + VECTORS * S::F32_LANES);
        let out = self.out[row * columns..].chunks_mut(columns);
        for (out, sums) in out.zip(sums) {
            store(simd, &mut out[column..end], &sums);
        }
    }
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if vectors::<S>() == 4 {
            self.run::<S, 4>(simd);
        } else {
            self.run::<S, 2>(simd);
        }
    }
}
