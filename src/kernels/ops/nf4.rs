//! Weights in NF4: decoding them, and products of few rows with a weight that is never decoded as a whole.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor};

use crate::kernels::ops::linear::linear;
use crate::kernels::{FEW_ROWS, supports};

/// A weight in four bits per value.
#[derive(Clone, Debug)]
pub(crate) struct Nf4Blocks {
    /// U8, `[bytes]`: two codes per byte, the first in the high half, up to the end of the last block.
    pub(crate) codes: Tensor<1, Int>,
    /// The scale of each block, f32, `[blocks]`.
    pub(crate) absmax: Tensor<1>,
    /// The value of each code before scaling, f32, `[16]`.
    pub(crate) code: Tensor<1>,
    /// Values per block; even.
    pub(crate) block_size: usize,
    /// Dtype that values are rounded to first.
    pub(crate) rounding: DType,
    /// Dtype of the decoded values.
    pub(crate) dtype: DType,
}

/// Decodes all values, `[2 · bytes]`, in one pass where a CPU loop or a GPU kernel supports the device.
pub(crate) fn nf4_values(weight: Nf4Blocks) -> Tensor<1> {
    if supports(&weight.absmax) {
        let Nf4Blocks {
            rounding, dtype, ..
        } = weight;
        let (codes, block_size) = (weight.codes.into_dispatch(), weight.block_size);
        let [absmax, code] =
            [weight.absmax, weight.code].map(|x| x.without_autodiff().into_dispatch());
        let values = Dispatch::nf4_values(codes, absmax, code, block_size);
        let values: Tensor<1> = Tensor::from_dispatch(values);
        return values.cast(rounding).cast(dtype);
    }
    on_device::values(weight)
}

/// Without a GPU backend there are no kernels.
#[cfg(not(any(feature = "cuda", feature = "vulkan")))]
mod on_device {
    pub(super) use super::plain_values as values;
}

#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod on_device {
    use super::{Nf4Blocks, Tensor, plain_values};
    use crate::kernels::cube::nf4::{Form, supports, values as kernel_values};

    pub(super) fn values(weight: Nf4Blocks) -> Tensor<1> {
        if !supports(&weight.codes.device()) {
            return plain_values(weight);
        }
        let form = Form {
            block_size: weight.block_size,
            rounding: weight.rounding,
            dtype: weight.dtype,
        };
        kernel_values(weight.codes, weight.absmax, weight.code, form)
    }
}

fn plain_values(weight: Nf4Blocks) -> Tensor<1> {
    let high = weight.codes.clone().bitwise_right_shift_scalar(4);
    let low = weight.codes.bitwise_and_scalar(15);
    let codes = Tensor::stack::<2>(vec![high, low], 1); // [bytes, 2]
    let values = weight.code.select(0, codes.flatten(0, 1));
    let values = values.reshape([-1, weight.block_size as i32]);
    let values = values * weight.absmax.unsqueeze_dim::<2>(1); // [blocks, block_size]
    let values: Tensor<1> = values.flatten(0, 1);
    values.cast(weight.rounding).cast(weight.dtype)
}

/// Returns whether [`nf4_linear`] multiplies `x` with the weight block by block instead of decoding it first: few rows off
/// the tape, in f32 on a CPU.
pub(crate) fn nf4_multiplies_packed(x: &Tensor<2>, weight: &Nf4Blocks) -> bool {
    let [rows, inner] = x.dims();
    let in_f32 = [weight.rounding, weight.dtype] == [DType::F32; 2] && supports(x);
    // A row must begin with a whole byte.
    in_f32 && rows <= FEW_ROWS && inner.is_multiple_of(2) && !x.is_tracked()
}

/// Computes `x · weightᵀ`.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[out_features, in]`
/// - output: `[rows, out_features]`
pub(crate) fn nf4_linear(x: Tensor<2>, weight: Nf4Blocks, out_features: usize) -> Tensor<2> {
    if !nf4_multiplies_packed(&x, &weight) {
        let [_, inner] = x.dims();
        let values = nf4_values(weight).narrow(0, 0, out_features * inner);
        return linear(x, values.reshape([out_features, inner]));
    }
    let x = x.without_autodiff().into_dispatch();
    let (codes, block_size) = (weight.codes.into_dispatch(), weight.block_size);
    let [absmax, code] = [weight.absmax, weight.code].map(|x| x.without_autodiff().into_dispatch());
    let out = Dispatch::nf4_linear(x, codes, absmax, code, block_size, out_features);
    Tensor::from_dispatch(out)
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Nf4: Backend {
    fn nf4_values(
        codes: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        code: FloatTensor<Self>,
        block_size: usize,
    ) -> FloatTensor<Self>;

    fn nf4_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        code: FloatTensor<Self>,
        block_size: usize,
        out_features: usize,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;

    use crate::kernels::cpu::few_rows::few_rows_of;
    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tensors::{dense, dims, for_rows, tensor, values};

    impl super::Nf4 for Flex {
        fn nf4_values(
            codes: FlexTensor,
            absmax: FlexTensor,
            code: FlexTensor,
            block_size: usize,
        ) -> FlexTensor {
            let [codes, absmax, code] = [codes, absmax, code].map(dense);
            let codes = Codes::new(&codes, &absmax, &code, block_size);
            let mut out = vec![0.0; 2 * codes.bytes.len()];
            for_rows(&mut out, block_size, |block, out| {
                codes.read(block * block_size, out);
            });
            let shape = Shape::new([out.len()]);
            tensor(out, shape)
        }

        fn nf4_linear(
            x: FlexTensor,
            codes: FlexTensor,
            absmax: FlexTensor,
            code: FlexTensor,
            block_size: usize,
            out_features: usize,
        ) -> FlexTensor {
            let [x, codes, absmax, code] = [x, codes, absmax, code].map(dense);
            let [rows, inner] = dims(&x);
            let codes = Codes::new(&codes, &absmax, &code, block_size);
            let out = few_rows_of(values(&x), out_features, inner, |columns, rows| {
                codes.read(columns.start * inner, rows);
            });
            tensor(out, Shape::new([rows, out_features]))
        }
    }

    /// A lookup from bytes to values.
    struct Codes<'a> {
        bytes: &'a [u8],
        absmax: &'a [f32],
        /// The two values of each byte, before scaling.
        pairs: [[f32; 2]; 256],
        block_size: usize,
    }

    impl<'a> Codes<'a> {
        fn new(
            codes: &'a FlexTensor,
            absmax: &'a FlexTensor,
            code: &FlexTensor,
            block_size: usize,
        ) -> Self {
            let code = values(code);
            Self {
                bytes: codes.storage(),
                absmax: values(absmax),
                pairs: core::array::from_fn(|byte| [code[byte >> 4], code[byte & 15]]),
                block_size,
            }
        }

        /// Decodes values from `start` on, which must be even.
        fn read(&self, start: usize, out: &mut [f32]) {
            vectorized(
                #[inline(always)]
                || {
                    let (mut start, mut out) = (start, out);
                    while !out.is_empty() {
                        let block = start / self.block_size;
                        let left = (block + 1) * self.block_size - start;
                        let (now, later) = out.split_at_mut(left.min(out.len()));
                        let scale = self.absmax[block];
                        let bytes = &self.bytes[start / 2..];
                        for (pair, &byte) in now.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                            let [first, second] = self.pairs[usize::from(byte)];
                            *pair = [first * scale, second * scale];
                        }
                        start += now.len();
                        out = later;
                    }
                },
            );
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{noise, numbers};
    use burn::tensor::{Device, TensorData, Tolerance};

    /// Codes and scales of an NF4 weight of `len` values; every other block is so small that f16 has few numbers there.
    fn blocks(
        len: usize,
        block_size: usize,
        [rounding, dtype]: [DType; 2],
        device: &Device,
    ) -> Nf4Blocks {
        let n_blocks = len.div_ceil(block_size);
        let bytes: Vec<u8> = numbers(n_blocks * block_size / 2, 1)
            .into_iter()
            .map(|x| (128.0 * (x + 1.0)) as u8)
            .collect();
        let absmax = numbers(n_blocks, 2).into_iter().enumerate();
        let absmax = absmax.map(|(block, x)| x.abs() * if block % 2 == 1 { 1e-5 } else { 1.0 });
        let code = (0..16).map(|code| (code as f32 - 7.0) / 8.0);
        Nf4Blocks {
            codes: Tensor::from_data(
                TensorData::new(bytes, [n_blocks * block_size / 2]),
                (device, DType::U8),
            ),
            absmax: Tensor::from_data(
                TensorData::new(absmax.collect::<Vec<f32>>(), [n_blocks]),
                (device, DType::F32),
            ),
            code: Tensor::from_data(
                TensorData::new(code.collect::<Vec<f32>>(), [16]),
                (device, DType::F32),
            ),
            block_size,
            rounding,
            dtype,
        }
    }

    fn weight(len: usize, block_size: usize, rounding: DType) -> Nf4Blocks {
        blocks(len, block_size, [rounding, DType::F32], &Device::default())
    }

    #[test]
    fn decoded_values_equal_the_plain_expression_bit_for_bit() {
        for len in [1, 63, 448, 2600, 120_000] {
            for block_size in [2, 6, 64] {
                for rounding in [DType::F32, DType::BF16, DType::F16] {
                    let weight = weight(len, block_size, rounding);
                    let expected = plain_values(weight.clone()).into_data();
                    nf4_values(weight).into_data().assert_eq(&expected, true);
                }
            }
        }
    }

    #[test]
    fn products_of_few_rows_are_those_of_the_decoded_weight() {
        let device = Device::default();
        for (rows, inner, out) in [
            (1, 2, 1),
            (1, 130, 77),
            (5, 66, 601),
            (64, 514, 700),
            (54, 32, 16),
            (54, 48, 32),
            (54, 32, 48),
        ] {
            let weight = weight(out * inner, 64, DType::F32);
            let x = noise([rows, inner], 6, &device);
            assert!(nf4_multiplies_packed(&x, &weight));
            let dense = plain_values(weight.clone()).narrow(0, 0, out * inner);
            let expected = x.clone().matmul(dense.reshape([out, inner]).transpose());
            let got = nf4_linear(x, weight, out);
            let tolerance = Tolerance::<f32>::absolute(1e-3);
            got.into_data()
                .assert_approx_eq(&expected.into_data(), tolerance);
        }
    }

    #[test]
    fn many_rows_and_rounded_values_are_multiplied_with_the_decoded_weight() {
        let device = Device::default();
        for (rows, rounding) in [(65, DType::F32), (1, DType::BF16)] {
            let (weight, x) = (weight(12, 64, rounding), noise([rows, 4], 6, &device));
            assert!(!nf4_multiplies_packed(&x, &weight));
            let dense = plain_values(weight.clone()).narrow(0, 0, 12);
            let expected = linear(x.clone(), dense.reshape([3, 4])).into_data();
            nf4_linear(x, weight, 3)
                .into_data()
                .assert_eq(&expected, true);
        }
    }

    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    #[test]
    fn gpu_kernels_give_the_bits_of_the_cpu() {
        /// The bits of decoded values, widened to f32.
        fn bits(len: usize, block_size: usize, form: [DType; 2], device: &Device) -> Vec<u32> {
            let values = nf4_values(blocks(len, block_size, form, device));
            assert_eq!(values.dtype(), form[1]);
            values.into_data().iter::<f32>().map(f32::to_bits).collect()
        }
        let dtypes = [DType::F32, DType::F16, DType::BF16];
        let forms = dtypes.map(|rounding| dtypes.map(|dtype| [rounding, dtype]));
        for device in crate::kernels::testing::gpus() {
            for len in [1, 2, 63, 64, 65, 127, 1000, 4095, 65_536] {
                for block_size in [2, 6, 64, 128] {
                    for form in forms.into_iter().flatten() {
                        if !device.supports_dtype(form[1]) {
                            continue;
                        }
                        let got = bits(len, block_size, form, &device);
                        let expected = bits(len, block_size, form, &Device::flex());
                        let unlike = got.iter().zip(&expected).position(|(a, b)| a != b);
                        let case = format!("{len} in blocks of {block_size}, {form:?}");
                        assert_eq!((unlike, got.len()), (None, expected.len()), "{case}");
                    }
                }
            }
        }
    }
}
