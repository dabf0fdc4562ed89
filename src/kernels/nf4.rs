//! Weights in NF4.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

/// The value of each code in f32, on the CPU.
///
/// # Shapes
///
/// - codes: `[bytes]`, two codes each, the first in the high half
/// - absmax: `[blocks]`
/// - code: `[16]`
/// - output: `[2 · bytes]`
pub(crate) fn nf4_values(codes: Tensor<1, Int>, scales: Scales) -> Tensor<1> {
    let (codes, block_size) = (codes.into_dispatch(), scales.block_size);
    let [absmax, code] = scales.into_dispatch();
    Tensor::from_dispatch(Dispatch::nf4_values_here(codes, absmax, code, block_size))
}

/// `x · weightᵀ` for few rows, on the CPU, with a weight that is never made dense as a whole.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - codes: `[bytes]`, of a weight `[out, in]`, to the end of its last block
/// - output: `[rows, out]`
pub(crate) fn nf4_linear(
    x: Tensor<2>,
    codes: Tensor<1, Int>,
    scales: Scales,
    out_features: usize,
) -> Tensor<2> {
    let x = x.without_autodiff().into_dispatch();
    let (codes, block_size) = (codes.into_dispatch(), scales.block_size);
    let [absmax, code] = scales.into_dispatch();
    let out = Dispatch::nf4_linear(x, codes, absmax, code, block_size, out_features);
    Tensor::from_dispatch(out)
}

/// What the codes of a weight stand for.
pub(crate) struct Scales {
    /// `[blocks]`
    pub(crate) absmax: Tensor<1>,
    /// `[16]`
    pub(crate) code: Tensor<1>,
    /// Values that share a scale; even.
    pub(crate) block_size: usize,
}

impl Scales {
    fn into_dispatch(self) -> [burn::backend::DispatchTensor; 2] {
        [self.absmax, self.code].map(|tensor| tensor.without_autodiff().into_dispatch())
    }
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Nf4: Backend {
    fn nf4_values_here(
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
mod flex {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::Shape;

    use crate::kernels::few_rows::few_rows_of;
    use crate::kernels::simd::{dense, dims, for_rows, tensor, values, vectorized};

    impl super::Nf4 for Flex {
        fn nf4_values_here(
            codes: FlexTensor,
            absmax: FlexTensor,
            code: FlexTensor,
            block_size: usize,
        ) -> FlexTensor {
            let [codes, absmax, code] = [codes, absmax, code].map(dense);
            let codes = Codes::new(&codes, &absmax, &code, block_size);
            let mut out = vec![0.0; 2 * codes.codes.len()];
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

    /// Two codes a byte, and what they stand for.
    struct Codes<'a> {
        codes: &'a [u8],
        absmax: &'a [f32],
        /// Both values of each byte.
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
                codes: codes.storage(),
                absmax: values(absmax),
                pairs: core::array::from_fn(|byte| [code[byte >> 4], code[byte & 15]]),
                block_size,
            }
        }

        /// The values from `start` on, which is even.
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
                        let codes = &self.codes[start / 2..];
                        for (pair, &code) in now.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                            let [first, second] = self.pairs[usize::from(code)];
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
