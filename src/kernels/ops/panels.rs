//! Products of many rows with a frozen weight whose values lie in the order of the innermost loop.
//!
//! The format exists on the CPU only; [`to_panels`] returns `None` elsewhere. Nothing here records a gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::supports;

/// Packs a weight into panels; `None` unless it is f32 on the CPU.
///
/// # Shapes
///
/// - weight: `[out, in]`
pub(crate) fn to_panels(weight: Tensor<2>) -> Option<Tensor<1>> {
    supports(&weight).then(|| Tensor::from_dispatch(Dispatch::to_panels(untracked(weight))))
}

/// Restores the weight, `[out, in]`, from its [panels](to_panels).
///
/// # Panics
///
/// Panics if the panels are on another device than the CPU.
pub(crate) fn from_panels(panels: Tensor<1>, out: usize, inner: usize) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::from_panels(untracked(panels), out, inner))
}

/// A linear layer with its weight in panels.
#[derive(Clone, Debug)]
pub(crate) struct PanelLayer {
    /// The [panels](to_panels) of a weight `[out, in]`.
    pub(crate) panels: Tensor<1>,
    /// `[out]`
    pub(crate) bias: Tensor<1>,
}

/// The parameters of a layer norm.
#[derive(Clone, Debug)]
pub(crate) struct NormParameters {
    /// `[hidden_size]`
    pub(crate) scale: Tensor<1>,
    /// `[hidden_size]`
    pub(crate) shift: Tensor<1>,
    /// Added to the variance.
    pub(crate) eps: f64,
}

/// Computes `x · weightᵀ + bias`.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - output: `[rows, out]`
///
/// # Panics
///
/// Panics if the panels are on another device than the CPU.
pub(crate) fn panel_linear(x: Tensor<2>, layer: PanelLayer) -> Tensor<2> {
    let [panels, bias] = [layer.panels, layer.bias].map(untracked);
    Tensor::from_dispatch(Dispatch::panel_linear(untracked(x), panels, bias))
}

/// Computes `norm(residual + x · weightᵀ + bias)`.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - residual and output: `[rows, out]`
///
/// # Panics
///
/// Panics if the panels are on another device than the CPU.
pub(crate) fn residual_linear(
    x: Tensor<2>,
    layer: PanelLayer,
    residual: Tensor<2>,
    norm: NormParameters,
) -> Tensor<2> {
    let [x, residual] = [x, residual].map(untracked);
    let [panels, bias] = [layer.panels, layer.bias].map(untracked);
    let [scale, shift] = [norm.scale, norm.shift].map(untracked);
    let eps = norm.eps as f32;
    let out = Dispatch::residual_linear(x, panels, bias, residual, scale, shift, eps);
    Tensor::from_dispatch(out)
}

/// Computes `norm(x + down(gelu(up(x))))`; the intermediate values exist for a few rows at a time only.
///
/// # Shapes
///
/// - x and output: `[rows, hidden_size]`
///
/// # Panics
///
/// Panics if the panels are on another device than the CPU.
pub(crate) fn feed_forward(
    x: Tensor<2>,
    [up, down]: [PanelLayer; 2],
    norm: NormParameters,
) -> Tensor<2> {
    let [up, up_bias] = [up.panels, up.bias].map(untracked);
    let [down, down_bias] = [down.panels, down.bias].map(untracked);
    let [scale, shift] = [norm.scale, norm.shift].map(untracked);
    let (x, eps) = (untracked(x), norm.eps as f32);
    let out = Dispatch::feed_forward(x, up, up_bias, down, down_bias, scale, shift, eps);
    Tensor::from_dispatch(out)
}

fn untracked<const D: usize>(tensor: Tensor<D>) -> DispatchTensor {
    tensor.without_autodiff().into_dispatch()
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
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;

    use crate::kernels::cpu::panels::{Layer, Norm, in_parts, pack, unpack};
    use crate::kernels::cpu::simd::{gelu, vectorized};
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    /// f32 values that stay in a core's cache between being written and being read.
    const CACHED: usize = 1 << 16;

    impl super::Panels for Flex {
        fn to_panels(weight: FlexTensor) -> FlexTensor {
            let weight = dense(weight);
            let [out, inner] = dims(&weight);
            let (buffer, panels) = pack(values(&weight), out, inner);
            let shape = Shape::new([buffer.len()]);
            tensor(buffer, shape).narrow(0, panels.start, panels.len())
        }

        fn from_panels(panels: FlexTensor, out: usize, inner: usize) -> FlexTensor {
            tensor(unpack(&panels, out, inner), Shape::new([out, inner]))
        }

        fn panel_linear(x: FlexTensor, panels: FlexTensor, bias: FlexTensor) -> FlexTensor {
            let (x, bias) = (dense(x), dense(bias));
            let layer = Layer::new(&panels, &bias);
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
            let layer = Layer::new(&panels, &bias);
            let ([rows, inner], columns) = (dims(&x), layer.columns());
            let norm = Norm::new(&scale, &shift, eps);
            let (x, residual) = (values(&x), values(&residual));
            let at_once = CACHED / columns;
            let out = in_parts(
                rows,
                columns,
                rows * layer.work(),
                at_once,
                |rows, out, _| {
                    layer.multiply(&x[rows.start * inner..rows.end * inner], out);
                    norm.add_and_normalize(
                        out,
                        &residual[rows.start * columns..rows.end * columns],
                    );
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
            let (up, down) = (Layer::new(&up, &up_bias), Layer::new(&down, &down_bias));
            let ([rows, width], inner) = (dims(&x), up.columns());
            let norm = Norm::new(&scale, &shift, eps);
            let x = values(&x);
            let work = rows * (up.work() + down.work());
            let out = in_parts(rows, width, work, CACHED / inner, |rows, out, scratch| {
                let x = &x[rows.start * width..rows.end * width];
                scratch.resize(rows.len() * inner, 0.0);
                up.multiply(x, scratch);
                vectorized(
                    #[inline(always)]
                    || scratch.iter_mut().for_each(|x| *x = gelu(*x)),
                );
                down.multiply(scratch, out);
                norm.add_and_normalize(out, x);
            });
            tensor(out, Shape::new([rows, width]))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn products_with_panels_are_those_with_the_weight_they_were_made_of() {
        let device = Device::default();
        for rows in [1, 6, 7, 65, 300] {
            for inner in [1, 40, 515] {
                for out in [1, 15, 16, 70, 128] {
                    let x: Tensor<2> = noise([rows, inner], 1, &device);
                    let weight: Tensor<2> = noise([out, inner], 2, &device);
                    let bias: Tensor<1> = noise([out], 3, &device);
                    let panels = to_panels(weight.clone()).expect("f32 on the CPU");
                    let same = from_panels(panels.clone(), out, inner);
                    same.into_data()
                        .assert_eq(&weight.clone().into_data(), true);
                    let expected = x.clone().matmul(weight.transpose()) + bias.clone().unsqueeze();
                    let got = panel_linear(x, PanelLayer { panels, bias });
                    got.into_data().assert_approx_eq(
                        &expected.into_data(),
                        Tolerance::<f32>::absolute(1e-4).set_relative(1e-4),
                    );
                }
            }
        }
    }
}
