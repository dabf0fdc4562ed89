//! Weights in bf16.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

use crate::kernels::serves;

/// The nearest numbers in bf16, two in each word, the first in its lower half; nothing, unless the weight is f32 on the CPU
/// and has an even number of columns.
///
/// # Shapes
///
/// - weight: `[rows, columns]`
/// - output: `[rows, columns / 2]`
pub(crate) fn to_bf16(weight: Tensor<2>) -> Option<Tensor<2, Int>> {
    let is_even = weight.dims()[1].is_multiple_of(2);
    (is_even && serves(&weight)).then(|| {
        let weight = weight.without_autodiff().into_dispatch();
        Tensor::from_dispatch(Dispatch::to_bf16(weight))
    })
}

/// The numbers of [words](to_bf16) in f32.
pub(crate) fn widen_bf16(words: Tensor<2, Int>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::widen_bf16(words.into_dispatch()))
}

/// `x · weightᵀ`
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - words: `[out, in / 2]`, as of [`to_bf16`]
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
mod flex {
    use burn::backend::flex::{Flex, FlexTensor};
    use burn::tensor::{Shape, TensorData, bf16};
    use rayon::prelude::*;

    use crate::kernels::few_rows::one_row;
    use crate::kernels::low_rank;
    use crate::kernels::simd::{dense, dims, for_rows, tensor, threads, values, vectorized};

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
                return low_rank::linear(x, Self::widen_bf16(words));
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
    use burn::tensor::{DType, Device, Distribution, TensorData, Tolerance};

    #[test]
    fn the_nearest_numbers_are_those_of_a_cast() {
        let device = Device::default();
        device.seed(3);
        let normal = Distribution::Normal(0.0, 1.0);
        let weight = Tensor::<2>::random([37, 42], normal, &device);
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
        assert!(to_bf16(odd.clone()).is_none(), "two numbers share a word");
        let got = widen_bf16(to_bf16(odd.transpose()).unwrap()).into_data();
        let got: Vec<f32> = got.try_to_vec().unwrap();
        assert_eq!(got[..3], [f32::INFINITY, -0.0, f32::NEG_INFINITY]);
        assert!(got[1].is_sign_negative() && got[2] == f32::NEG_INFINITY);
        assert!(got[3] == f32::INFINITY && got[4] == 0.0 && got[5].is_nan());
    }

    #[test]
    fn products_are_those_of_the_widened_weight() {
        let device = Device::default();
        device.seed(4);
        for (rows, inner, out) in [(1, 2, 1), (1, 40, 9), (1, 514, 1201), (3, 514, 60)] {
            let normal = Distribution::Normal(0.0, 1.0);
            let x = Tensor::<2>::random([rows, inner], normal, &device);
            let words = to_bf16(Tensor::<2>::random([out, inner], normal, &device)).unwrap();
            let expected = x.clone().matmul(widen_bf16(words.clone()).transpose());
            let tolerance = Tolerance::<f32>::absolute(1e-4);
            let got = bf16_linear(x, words);
            got.into_data()
                .assert_approx_eq(&expected.into_data(), tolerance);
        }
    }
}
