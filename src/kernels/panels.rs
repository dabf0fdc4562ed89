//! Products of many rows with a weight that lies in panels.
//!
//! A panel has as many columns of the product as the innermost loop makes at once, in the order in which that reads them, so
//! that nothing is copied but the result. The rows are read where they lie.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::serves;

/// The panels of a weight, one behind the other; nothing, unless it is f32 on the CPU.
///
/// # Shapes
///
/// - weight: `[out, in]`
pub(crate) fn to_panels(weight: Tensor<2>) -> Option<Tensor<1>> {
    serves(&weight).then(|| {
        let weight = weight.without_autodiff().into_dispatch();
        Tensor::from_dispatch(Dispatch::to_panels(weight))
    })
}

/// The weight, `[out, in]`, of which [panels](to_panels) were made.
pub(crate) fn from_panels(panels: Tensor<1>, out: usize, inner: usize) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::from_panels(panels.into_dispatch(), out, inner))
}

/// `x · weightᵀ + bias`
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - panels: [those](to_panels) of a weight `[out, in]`
/// - bias: `[out]`
pub(crate) fn panel_linear(x: Tensor<2>, panels: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    let x = x.without_autodiff().into_dispatch();
    let [panels, bias] = [panels, bias].map(|x| x.without_autodiff().into_dispatch());
    Tensor::from_dispatch(Dispatch::panel_linear(x, panels, bias))
}

/// A linear layer: the [panels](to_panels) of its weight, and its bias.
pub(crate) type PanelLayer = [Tensor<1>; 2];

/// A layer norm: its scale and shift, and what is added to the variance.
pub(crate) type Norm = ([Tensor<1>; 2], f64);

/// `norm(residual + x · weightᵀ + bias)`
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - residual: `[rows, out]`
pub(crate) fn residual_linear(
    x: Tensor<2>,
    layer: PanelLayer,
    residual: Tensor<2>,
    (norm, eps): Norm,
) -> Tensor<2> {
    let [x, residual] = [x, residual].map(|x| x.without_autodiff().into_dispatch());
    let [panels, bias] = layer.map(|x| x.without_autodiff().into_dispatch());
    let [scale, shift] = norm.map(|x| x.without_autodiff().into_dispatch());
    Tensor::from_dispatch(Dispatch::residual_linear(
        x, panels, bias, residual, scale, shift, eps as f32,
    ))
}

/// `norm(x + down(gelu(up(x))))`; what is between the layers is never whole.
///
/// # Shapes
///
/// - x: `[rows, hidden_size]`
pub(crate) fn feed_forward(
    x: Tensor<2>,
    [up, down]: [PanelLayer; 2],
    (norm, eps): Norm,
) -> Tensor<2> {
    let x = x.without_autodiff().into_dispatch();
    let [up, up_bias] = up.map(|x| x.without_autodiff().into_dispatch());
    let [down, down_bias] = down.map(|x| x.without_autodiff().into_dispatch());
    let [scale, shift] = norm.map(|x| x.without_autodiff().into_dispatch());
    Tensor::from_dispatch(Dispatch::feed_forward(
        x, up, up_bias, down, down_bias, scale, shift, eps as f32,
    ))
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Panels: Backend {
    fn to_panels(weight: FloatTensor<Self>) -> FloatTensor<Self>;

    fn from_panels(panels: FloatTensor<Self>, out: usize, inner: usize) -> FloatTensor<Self>;

    fn panel_linear(
        x: FloatTensor<Self>,
        panels: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn residual_linear(
        x: FloatTensor<Self>,
        panels: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;

    #[allow(
        clippy::too_many_arguments,
        reason = "an operation of a backend takes each tensor by itself"
    )]
    fn feed_forward(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod flex {
    use std::ops::Range;

    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;
    use pulp::{Arch, Simd, WithSimd};
    use rayon::prelude::*;

    use crate::kernels::elementwise::gelu_of;
    use crate::kernels::norm::layer_norm_row;
    use crate::kernels::product::{ROWS, load, store};
    use crate::kernels::simd::{dense, dims, tensor, threads, values, vectorized};

    /// How many numbers of a sum are added up at once: as many rows of a panel stay near the processor.
    const INNER: usize = 512;

    /// How many numbers a line of the processor's cache holds; a vector that lies in two lines is read twice.
    const LINE: usize = 16;

    /// How many numbers of what is used up at once stay near the processor.
    const NEAR: usize = 1 << 16;

    impl super::Panels for Flex {
        fn to_panels(weight: FlexTensor) -> FlexTensor {
            let weight = dense(weight);
            let ([out, inner], width) = (dims(&weight), panel_width());
            let count = out.next_multiple_of(width) * inner;
            let mut numbers = vec![0.0; count + LINE];
            let start = numbers.as_ptr().align_offset(LINE * size_of::<f32>());
            let start = start.min(LINE);
            let panels = numbers[start..start + count].chunks_exact_mut(width * inner);
            for (panel, rows) in panels.zip(values(&weight).chunks(width * inner)) {
                for (column, row) in rows.chunks_exact(inner).enumerate() {
                    let places = panel[column..].iter_mut().step_by(width);
                    places.zip(row).for_each(|(place, &number)| *place = number);
                }
            }
            tensor(numbers, Shape::new([count + LINE])).narrow(0, start, count)
        }

        fn from_panels(panels: FlexTensor, out: usize, inner: usize) -> FlexTensor {
            let width = panel_width();
            let mut weight = vec![0.0; out * inner];
            let panels = numbers(&panels).chunks_exact(width * inner);
            for (panel, rows) in panels.zip(weight.chunks_mut(width * inner)) {
                for (column, row) in rows.chunks_exact_mut(inner).enumerate() {
                    let places = panel[column..].iter().step_by(width);
                    places.zip(row).for_each(|(&place, number)| *number = place);
                }
            }
            tensor(weight, Shape::new([out, inner]))
        }

        fn panel_linear(x: FlexTensor, panels: FlexTensor, bias: FlexTensor) -> FlexTensor {
            let (x, bias) = (dense(x), dense(bias));
            let layer = Layer::of(&panels, &bias);
            let ([rows, inner], columns) = (dims(&x), layer.columns());
            let x = values(&x);
            let out = in_parts(rows, columns, rows * layer.work(), rows, |rows, out, _| {
                layer.multiply(&x[rows.start * inner..rows.end * inner], out);
            });
            tensor(out, Shape::new([rows, columns]))
        }

        fn residual_linear(
            x: FlexTensor,
            panels: FlexTensor,
            bias: FlexTensor,
            residual: FlexTensor,
            scale: FlexTensor,
            shift: FlexTensor,
            eps: f32,
        ) -> FlexTensor {
            let [x, bias, residual, scale, shift] = [x, bias, residual, scale, shift].map(dense);
            let layer = Layer::of(&panels, &bias);
            let ([rows, inner], columns) = (dims(&x), layer.columns());
            let norm = Norm::of(&scale, &shift, eps);
            let (x, residual) = (values(&x), values(&residual));
            let at_once = NEAR / columns;
            let out = in_parts(
                rows,
                columns,
                rows * layer.work(),
                at_once,
                |rows, out, _| {
                    layer.multiply(&x[rows.start * inner..rows.end * inner], out);
                    norm.of_sum(out, &residual[rows.start * columns..rows.end * columns]);
                },
            );
            tensor(out, Shape::new([rows, columns]))
        }

        fn feed_forward(
            x: FlexTensor,
            up: FlexTensor,
            up_bias: FlexTensor,
            down: FlexTensor,
            down_bias: FlexTensor,
            scale: FlexTensor,
            shift: FlexTensor,
            eps: f32,
        ) -> FlexTensor {
            let [x, up_bias, down_bias, scale, shift] =
                [x, up_bias, down_bias, scale, shift].map(dense);
            let (up, down) = (Layer::of(&up, &up_bias), Layer::of(&down, &down_bias));
            let ([rows, width], inner) = (dims(&x), up.columns());
            let norm = Norm::of(&scale, &shift, eps);
            let x = values(&x);
            let work = rows * (up.work() + down.work());
            let out = in_parts(rows, width, work, NEAR / inner, |rows, out, scratch| {
                let x = &x[rows.start * width..rows.end * width];
                scratch.resize(rows.len() * inner, 0.0);
                up.multiply(x, scratch);
                vectorized(
                    #[inline(always)]
                    || scratch.iter_mut().for_each(|x| *x = gelu_of(*x)),
                );
                down.multiply(scratch, out);
                norm.of_sum(out, x);
            });
            tensor(out, Shape::new([rows, width]))
        }
    }

    /// The numbers of panels, which begin where a line of the cache does.
    fn numbers(panels: &FlexTensor) -> &[f32] {
        let layout = panels.layout();
        &panels.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
    }

    fn panel_width() -> usize {
        Arch::new().dispatch(Width)
    }

    /// A result of `rows` rows of which `make` fills about `at_once` at a time, in as many threads as so much work is worth; it
    /// also gets room for what it needs on the way.
    fn in_parts(
        rows: usize,
        width: usize,
        work: usize,
        at_once: usize,
        make: impl Fn(Range<usize>, &mut [f32], &mut Vec<f32>) + Sync,
    ) -> Vec<f32> {
        /// So few products are done before a second thread has begun.
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

    /// A linear layer whose weight lies in panels.
    #[derive(Clone, Copy)]
    struct Layer<'a> {
        panels: &'a [f32],
        bias: &'a [f32],
        inner: usize,
    }

    impl<'a> Layer<'a> {
        /// The bias must be dense.
        fn of(panels: &'a FlexTensor, bias: &'a FlexTensor) -> Self {
            let (panels, bias) = (numbers(panels), values(bias));
            let inner = panels.len() / bias.len().next_multiple_of(panel_width());
            Self {
                panels,
                bias,
                inner,
            }
        }

        fn columns(&self) -> usize {
            self.bias.len()
        }

        /// How many products a row takes.
        fn work(&self) -> usize {
            self.inner * self.columns()
        }

        /// `out = lhs · weightᵀ + bias`
        fn multiply(&self, lhs: &[f32], out: &mut [f32]) {
            Arch::new().dispatch(Multiply {
                out,
                lhs,
                layer: *self,
            });
        }
    }

    /// A layer norm.
    struct Norm<'a> {
        scale: &'a [f32],
        shift: &'a [f32],
        eps: f32,
    }

    impl<'a> Norm<'a> {
        fn of(scale: &'a FlexTensor, shift: &'a FlexTensor, eps: f32) -> Self {
            let (scale, shift) = (values(scale), values(shift));
            Self { scale, shift, eps }
        }

        /// `out = norm(out + residual)`, row by row.
        fn of_sum(&self, out: &mut [f32], residual: &[f32]) {
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

    /// The vectors of a panel's row: as many as there are registers for.
    const fn vectors<S: Simd>() -> usize {
        if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
    }

    /// How many columns a panel has.
    struct Width;

    impl WithSimd for Width {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            vectors::<S>() * S::F32_LANES
        }
    }

    /// `out = lhs · weightᵀ + bias` for some rows.
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

        /// Goes on with six rows' sums, as far as they have come.
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

        /// Adds a part of six rows' products with a panel; in the place of a row that is not there comes the last one.
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
            let numbers = |place: usize| {
                let row = (row + place).min(rows - 1);
                &self.lhs[row * self.layer.inner + first..][..panel.len()]
            };
            let [a, b, c] = [numbers(0), numbers(1), numbers(2)];
            let [d, e, f] = [numbers(3), numbers(4), numbers(5)];
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
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, Tolerance};

    #[test]
    fn products_with_panels_are_those_with_the_weight_they_were_made_of() {
        let device = Device::default();
        device.seed(6);
        for rows in [1, 6, 7, 65, 300] {
            for inner in [1, 40, 515] {
                for out in [1, 15, 16, 70, 128] {
                    let normal = Distribution::Normal(0.0, 1.0);
                    let x = Tensor::<2>::random([rows, inner], normal, &device);
                    let weight = Tensor::<2>::random([out, inner], normal, &device);
                    let bias = Tensor::<1>::random([out], normal, &device);
                    let panels = to_panels(weight.clone()).expect("f32 on the CPU");
                    let same = from_panels(panels.clone(), out, inner);
                    same.into_data()
                        .assert_eq(&weight.clone().into_data(), true);
                    let expected = x.clone().matmul(weight.transpose()) + bias.clone().unsqueeze();
                    let got = panel_linear(x, panels, bias);
                    got.into_data().assert_approx_eq(
                        &expected.into_data(),
                        Tolerance::<f32>::absolute(1e-4).set_relative(1e-4),
                    );
                }
            }
        }
    }
}
