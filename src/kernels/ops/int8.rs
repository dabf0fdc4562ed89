//! Weights in eight bits, a scale for each row: decoding rows, and products of few rows with a weight that is never decoded
//! as a whole.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor};

use crate::kernels::ops::linear::linear;
use crate::kernels::{FEW_ROWS, supports};

/// What stands for zero; codes go from 1 to 255.
pub(crate) const ZERO: u8 = 128;

/// A weight in eight bits a value.
#[derive(Clone, Debug)]
pub(crate) struct Int8Rows {
    /// U8, `[rows, columns]`; [`ZERO`] is zero.
    pub(crate) codes: Tensor<2, Int>,
    /// What one step of a row's codes is worth, f32, `[rows]`.
    pub(crate) scales: Tensor<1>,
    /// Dtype of the decoded values.
    pub(crate) dtype: DType,
}

/// Decodes all values, `[rows, columns]`.
pub(crate) fn int8_values(weight: Int8Rows) -> Tensor<2> {
    let codes = weight.codes.float().cast(DType::F32) - f32::from(ZERO);
    (codes * weight.scales.unsqueeze_dim::<2>(1)).cast(weight.dtype)
}

/// Computes `x · weightᵀ`; few rows in f32 on a CPU, off the tape, are multiplied with the codes as they lie.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - output: `[rows, out]`
pub(crate) fn int8_linear(x: Tensor<2>, weight: Int8Rows) -> Tensor<2> {
    let [rows, _] = x.dims();
    let in_f32 = weight.dtype == DType::F32 && supports(&x);
    if !in_f32 || rows > FEW_ROWS || x.is_tracked() {
        return linear(x, int8_values(weight));
    }
    let x = x.without_autodiff().into_dispatch();
    let scales = weight.scales.without_autodiff().into_dispatch();
    let out = Dispatch::int8_linear(x, weight.codes.into_dispatch(), scales);
    Tensor::from_dispatch(out)
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Int8: Backend {
    fn int8_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;

    use super::ZERO;
    use crate::kernels::cpu::few_rows::few_rows_of;
    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tensors::{dense, dims, tensor, values};

    impl super::Int8 for Flex {
        fn int8_linear(x: FlexTensor, codes: FlexTensor, scales: FlexTensor) -> FlexTensor {
            let [x, codes, scales] = [x, codes, scales].map(dense);
            let [rows, inner] = dims(&x);
            let [out_features, _] = dims(&codes);
            let (codes, scales) = (codes.storage::<u8>(), values(&scales));
            let out = few_rows_of(values(&x), out_features, inner, |columns, rows| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (row, out) in columns.zip(rows.chunks_exact_mut(inner)) {
                            let codes = &codes[row * inner..(row + 1) * inner];
                            for (out, &code) in out.iter_mut().zip(codes) {
                                *out = (f32::from(code) - f32::from(ZERO)) * scales[row];
                            }
                        }
                    },
                );
            });
            tensor(out, Shape::new([rows, out_features]))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{noise, numbers};
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn products_of_few_rows_are_those_of_the_decoded_weight() {
        let device = Device::default();
        for (rows, inner, out) in [
            (1, 3, 1),
            (1, 130, 77),
            (5, 66, 601),
            (64, 514, 70),
            (65, 8, 9),
        ] {
            let codes: Vec<u8> = numbers(out * inner, 1)
                .into_iter()
                .map(|x| (127.0 * x) as i32 as u8 ^ ZERO)
                .collect();
            let weight = Int8Rows {
                codes: Tensor::from_data(
                    TensorData::new(codes, [out, inner]),
                    (&device, DType::U8),
                ),
                scales: noise([out], 2, &device),
                dtype: DType::F32,
            };
            let x = noise([rows, inner], 6, &device);
            let expected = x.clone().matmul(int8_values(weight.clone()).transpose());
            let tolerance = Tolerance::<f32>::absolute(1e-2).set_relative(1e-4);
            int8_linear(x, weight)
                .into_data()
                .assert_approx_eq(&expected.into_data(), tolerance);
        }
    }
}
