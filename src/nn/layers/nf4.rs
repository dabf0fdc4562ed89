//! NF4, the four-bit weights of QLoRA (Dettmers et al., arXiv 2305.14314) in the layout of bitsandbytes.
//!
//! A weight is cut into blocks of its flattened values. A block keeps its largest absolute value, and each value keeps
//! the nearest of sixteen quantiles of the normal distribution, scaled by it. Two values share a byte, the first in the
//! high half. What is computed with is `quantile · absmax` in f32, cast to the dtype of the model.

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::kernels;
use crate::kernels::nf4::{Scales, nf4_linear, nf4_values};

/// The sixteen values.
pub const CODE: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];
/// A scaled value gets the first code whose threshold it does not pass.
const THRESHOLDS: [f32; 15] = [
    -0.848_096_4,
    -0.610_632_9,
    -0.459_995_27,
    -0.339_679_43,
    -0.234_607_41,
    -0.137_911_73,
    -0.045_525_018,
    0.039_790_15,
    0.120_255_25,
    0.203_521_25,
    0.292_013_77,
    0.389_312_55,
    0.501_663_4,
    0.642_786_9,
    0.861_478_4,
];
/// Values in a block, unless a checkpoint says otherwise.
pub const BLOCK_SIZE: usize = 64;
/// Two codes of the value zero.
const ZEROS: u8 = 0x77;

/// The largest absolute value of each block; the last block may be shorter.
pub fn absmax(values: &[f32], block_size: usize) -> Vec<f32> {
    values
        .chunks(block_size)
        .map(|block| {
            block
                .iter()
                .fold(0.0, |most: f32, value| most.max(value.abs()))
        })
        .collect()
}

/// The codes of the values, two in a byte; a half that is left over holds the code of zero.
pub fn quantize(values: &[f32], block_size: usize) -> Vec<u8> {
    let scales = absmax(values, block_size);
    let codes: Vec<u8> = values
        .chunks(block_size)
        .zip(scales)
        .flat_map(|(block, absmax)| {
            let scale = if absmax > 0.0 { 1.0 / absmax } else { 0.0 };
            block.iter().map(move |value| code_of(value * scale))
        })
        .collect();
    codes
        .chunks(2)
        .map(|pair| (pair[0] << 4) | pair.get(1).copied().unwrap_or(ZEROS & 15))
        .collect()
}

fn code_of(scaled: f32) -> u8 {
    THRESHOLDS.partition_point(|&threshold| scaled > threshold) as u8
}

/// A frozen weight of shape `[.., D]` in four bits a value.
#[derive(Module, Debug)]
pub struct Nf4<const D: usize> {
    /// Two codes a byte, `[blocks · block_size / 2]`.
    codes: Tensor<1, Int>,
    /// f32, `[blocks]`.
    absmax: Tensor<1>,
    /// What each code stands for, f32, `[16]`.
    code: Tensor<1>,
    #[module(skip)]
    shape: [usize; D],
    #[module(skip)]
    block_size: usize,
    #[module(skip)]
    rounding: DType,
    #[module(skip)]
    dtype: DType,
}

impl<const D: usize> Nf4<D> {
    /// A weight from its codes, two a byte, the scale of each block of `block_size` values, and the sixteen values of the
    /// code. It is dequantized to `dtype`.
    ///
    /// # Panics
    ///
    /// Panics if there are not as many codes and scales as the shape needs.
    pub fn new(
        mut codes: Vec<u8>,
        absmax: Vec<f32>,
        code: [f32; 16],
        shape: [usize; D],
        block_size: usize,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let n_values: usize = shape.iter().product();
        let n_blocks = n_values.div_ceil(block_size);
        assert_eq!(codes.len(), n_values.div_ceil(2), "two codes a byte");
        assert_eq!(absmax.len(), n_blocks, "a scale a block");
        codes.resize(n_blocks * block_size / 2, ZEROS);
        Self {
            codes: Tensor::from_data(
                TensorData::new(codes, [n_blocks * block_size / 2]),
                (device, DType::U8),
            ),
            absmax: Tensor::from_data(TensorData::new(absmax, [n_blocks]), (device, DType::F32)),
            code: Tensor::from_data(TensorData::from(code), (device, DType::F32)),
            shape,
            block_size,
            rounding: dtype,
            dtype,
        }
    }

    /// Returns the weight with values rounded to another dtype first, as bitsandbytes does to the dense weight's dtype.
    pub fn with_rounding(mut self, rounding: DType) -> Self {
        self.rounding = rounding;
        self
    }

    /// Quantizes dense values, row after row, in blocks of [`BLOCK_SIZE`].
    pub fn from_values(values: &[f32], shape: [usize; D], dtype: DType, device: &Device) -> Self {
        let (codes, absmax) = (quantize(values, BLOCK_SIZE), absmax(values, BLOCK_SIZE));
        Self::new(codes, absmax, CODE, shape, BLOCK_SIZE, dtype, device)
    }

    /// The weight's shape.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Computes the dense weight.
    pub fn dequantize(&self) -> Tensor<D> {
        let values = self
            .values_in_one_pass()
            .unwrap_or_else(|| self.plain_values());
        let n_values = self.shape.iter().product();
        let values = match values.dims() {
            [n_blocked] if n_blocked > n_values => values.narrow(0, 0, n_values),
            _ => values,
        };
        values.reshape(self.shape)
    }

    /// The values of whole blocks, where a loop or a kernel serves the device.
    fn values_in_one_pass(&self) -> Option<Tensor<1>> {
        if kernels::serves(&self.absmax) {
            let values = nf4_values(self.codes.clone(), self.scales());
            return Some(values.cast(self.rounding).cast(self.dtype));
        }
        self.values_by_kernel()
    }

    fn scales(&self) -> Scales {
        Scales {
            absmax: self.absmax.clone(),
            code: self.code.clone(),
            block_size: self.block_size,
        }
    }

    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    fn values_by_kernel(&self) -> Option<Tensor<1>> {
        use crate::kernels::cube::nf4::{Form, serves, values};
        let form = Form {
            block_size: self.block_size,
            rounding: self.rounding,
            dtype: self.dtype,
        };
        let (codes, absmax, code) = (&self.codes, &self.absmax, &self.code);
        serves(&codes.device()).then(|| values(codes.clone(), absmax.clone(), code.clone(), form))
    }

    #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
    fn values_by_kernel(&self) -> Option<Tensor<1>> {
        None
    }

    /// The values of whole blocks by plain operations.
    fn plain_values(&self) -> Tensor<1> {
        let high = self.codes.clone().bitwise_right_shift_scalar(4);
        let low = self.codes.clone().bitwise_and_scalar(15);
        let codes = Tensor::stack::<2>(vec![high, low], 1); // [bytes, 2]
        let values = self.code.clone().select(0, codes.flatten(0, 1));
        let values = values.reshape([-1, self.block_size as i32]);
        let values = values * self.absmax.clone().unsqueeze_dim::<2>(1); // [blocks, block_size]
        let values: Tensor<1> = values.flatten(0, 1);
        values.cast(self.rounding).cast(self.dtype)
    }
}

impl Nf4<2> {
    /// `x · weightᵀ` for few rows off the tape on the CPU, where the weight need not be made dense as a whole.
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn few_rows(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let ([rows, inner], [out_features, _]) = (x.dims(), self.shape);
        let in_f32 = [self.rounding, self.dtype] == [DType::F32; 2] && kernels::serves(x);
        // A row begins with a whole byte.
        let few = rows <= kernels::FEW_ROWS && inner.is_multiple_of(2) && !x.is_tracked();
        (in_f32 && few)
            .then(|| nf4_linear(x.clone(), self.codes.clone(), self.scales(), out_features))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    fn weight(shape: [usize; 2], block_size: usize, rounding: DType) -> Nf4<2> {
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .map(|idx| 0.01 * (idx as f32 * 0.37).sin() * (idx as f32).sqrt())
            .collect();
        let (codes, absmax) = (quantize(&values, block_size), absmax(&values, block_size));
        let device = Device::default();
        let weight = Nf4::new(codes, absmax, CODE, shape, block_size, DType::F32, &device);
        weight.with_rounding(rounding)
    }

    #[test]
    fn values_in_one_pass_are_the_plain_ones_bit_for_bit() {
        for shape in [[1, 1], [3, 21], [7, 64], [40, 65], [300, 400]] {
            for block_size in [2, 6, 64] {
                for rounding in [DType::F32, DType::BF16, DType::F16] {
                    let weight = weight(shape, block_size, rounding);
                    let got = weight.values_in_one_pass().expect("f32 on the CPU");
                    let expected = weight.plain_values().into_data();
                    got.into_data().assert_eq(&expected, true);
                }
            }
        }
    }

    #[test]
    fn products_of_few_rows_are_those_of_the_dense_weight() {
        let device = Device::default();
        device.seed(6);
        for (rows, inner, out) in [(1, 2, 1), (1, 130, 77), (5, 66, 601), (64, 514, 700)] {
            let weight = weight([out, inner], 64, DType::F32);
            let x = Tensor::<2>::random([rows, inner], Distribution::Normal(0.0, 1.0), &device);
            let expected = x
                .clone()
                .matmul(weight.dequantize().transpose())
                .into_data();
            let tolerance = Tolerance::<f32>::absolute(1e-3);
            let got = weight.few_rows(&x).expect("few rows");
            got.into_data().assert_approx_eq(&expected, tolerance);
        }
        let x = Tensor::<2>::ones([65, 4], &device);
        assert!(weight([3, 4], 64, DType::F32).few_rows(&x).is_none());
        let x = Tensor::<2>::ones([1, 4], &device);
        assert!(weight([3, 4], 64, DType::BF16).few_rows(&x).is_none());
    }
}
