//! Weights in bf16 that are multiplied in f32.
//!
//! The format exists on the CPU only; [`to_bf16`] returns `None` elsewhere.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

use crate::kernels::supports;

/// Rounds a weight to bf16 and packs two values per word, the first in the lower half; `None` unless the weight is f32 on the
/// CPU with an even number of columns.
///
/// # Shapes
///
/// - weight: `[rows, columns]`
/// - output: `[rows, columns / 2]`
pub(crate) fn to_bf16(weight: Tensor<2>) -> Option<Tensor<2, Int>> {
    let is_even = weight.dims()[1].is_multiple_of(2);
    (is_even && supports(&weight)).then(|| {
        let weight = weight.without_autodiff().into_dispatch();
        Tensor::from_dispatch(Dispatch::to_bf16(weight))
    })
}

/// Widens [packed](to_bf16) values to f32.
///
/// # Panics
///
/// Panics if the words are on another device than the CPU.
pub(crate) fn widen_bf16(words: Tensor<2, Int>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::widen_bf16(words.into_dispatch()))
}

/// Computes `x · weightᵀ`; one row reads the words in place, more rows widen them first.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - words: a [packed](to_bf16) weight, `[out, in / 2]`
///
/// # Panics
///
/// Panics if the words are on another device than the CPU.
pub(crate) fn bf16_linear(x: Tensor<2>, words: Tensor<2, Int>) -> Tensor<2> {
    let x = x.without_autodiff().into_dispatch();
    Tensor::from_dispatch(Dispatch::bf16_linear(x, words.into_dispatch()))
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Bf16: Backend {
    fn to_bf16(weight: FloatTensor<Self>) -> IntTensor<Self>;

    fn widen_bf16(words: IntTensor<Self>) -> FloatTensor<Self>;

    fn bf16_linear(x: FloatTensor<Self>, words: IntTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
mod cpu {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::{Shape, TensorData, bf16};
    use rayon::prelude::*;

    use crate::kernels::cpu::few_rows::one_row;
    use crate::kernels::cpu::simd::vectorized;
    use crate::kernels::cpu::tensors::{dense, dims, for_rows, tensor, threads, values};
    use crate::kernels::ops::linear::cpu::linear;

    impl super::Bf16 for Flex {
        fn to_bf16(weight: FlexTensor) -> FlexTensor {
            let weight = dense(weight);
            let [rows, columns] = dims(&weight);
            let (pairs, _) = values(&weight).as_chunks::<2>();
            let mut words = vec![0; pairs.len()];
            let share = pairs.len().div_ceil(threads(pairs.len(), 1 << 17)).max(1);
            let parts = words.par_chunks_mut(share).zip(pairs.par_chunks(share));
            parts.for_each(|(words, pairs)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (word, pair) in words.iter_mut().zip(pairs) {
                            let [first, second] =
                                pair.map(|value| u32::from(bf16::from_f32(value).to_bits()));
                            *word = first | second << 16;
                        }
                    },
                );
            });
            FlexTensor::from_data(TensorData::new(words, [rows, columns / 2]))
        }

        fn widen_bf16(words: FlexTensor) -> FlexTensor {
            let words = dense(words);
            let [rows, width] = dims(&words);
            let words = words.storage::<u32>();
            let mut values = vec![0.0; 2 * words.len()];
            for_rows(&mut values, 2, |start, values| {
                let (pairs, _) = values.as_chunks_mut::<2>();
                let words = &words[start..start + pairs.len()];
                vectorized(
                    #[inline(always)]
                    || {
                        for (pair, word) in pairs.iter_mut().zip(words) {
                            *pair = [word << 16, word & 0xffff_0000].map(f32::from_bits);
                        }
                    },
                );
            });
            tensor(values, Shape::new([rows, 2 * width]))
        }

        fn bf16_linear(x: FlexTensor, words: FlexTensor) -> FlexTensor {
            let ([rows, _], [columns, _]) = (dims(&x), dims(&words));
            if rows > 1 {
                return linear(x, Self::widen_bf16(words));
            }
            let (x, words) = (dense(x), dense(words));
            let out = one_row(values(&x), words.storage::<u32>());
            tensor(out, Shape::new([1, columns]))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use burn::tensor::{DType, Device, TensorData, Tolerance};

    #[test]
    fn packing_rounds_as_a_cast_does() {
        let device = Device::default();
        let weight: Tensor<2> = noise([37, 42], 3, &device);
        let expected = weight.clone().cast(DType::BF16).cast(DType::F32);
        let got = widen_bf16(to_bf16(weight).unwrap());
        got.into_data().assert_eq(&expected.into_data(), true);
        let odd = [
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.0,
            -0.0,
            f32::MAX,
            f32::NAN,
        ];
        let odd = Tensor::<2>::from_data(TensorData::new(odd.to_vec(), [2, 3]), &device);
        assert!(to_bf16(odd.clone()).is_none(), "two values share a word");
        let got = widen_bf16(to_bf16(odd.transpose()).unwrap()).into_data();
        let got: Vec<f32> = got.try_to_vec().unwrap();
        assert_eq!(got[..3], [f32::INFINITY, -0.0, f32::NEG_INFINITY]);
        assert!(got[1].is_sign_negative() && got[2] == f32::NEG_INFINITY);
        assert!(got[3] == f32::INFINITY && got[4] == 0.0 && got[5].is_nan());
    }

    #[test]
    fn products_are_those_of_the_widened_weight() {
        let device = Device::default();
        for (rows, inner, out) in [(1, 2, 1), (1, 40, 9), (1, 514, 1201), (3, 514, 60)] {
            let x = noise([rows, inner], 4, &device);
            let words = to_bf16(noise([out, inner], 5, &device)).unwrap();
            let expected = x.clone().matmul(widen_bf16(words.clone()).transpose());
            let tolerance = Tolerance::<f32>::absolute(1e-4);
            let got = bf16_linear(x, words);
            got.into_data()
                .assert_approx_eq(&expected.into_data(), tolerance);
        }
    }
}
