//! NF4, the four-bit weights of QLoRA (Dettmers et al., arXiv 2305.14314) in the layout of bitsandbytes.
//!
//! A weight is cut into blocks of its flattened values. A block keeps its largest absolute value, and each value keeps
//! the nearest of sixteen quantiles of the normal distribution, scaled by it. Two values share a byte, the first in the
//! high half. The dequantized value is `quantile · absmax` in f32, cast to the dtype of the model.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::kernels::ops::nf4::{Nf4Blocks, nf4_linear, nf4_multiplies_packed, nf4_values};

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
/// A scaled value gets the first code whose threshold it does not exceed.
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

/// Returns the codes of the values, two per byte; an unused half byte holds the code of zero.
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
    /// The value of each code, f32, `[16]`.
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
        let values = nf4_values(self.blocks());
        let n_values = self.shape.iter().product();
        let values = match values.dims() {
            [n_blocked] if n_blocked > n_values => values.narrow(0, 0, n_values),
            _ => values,
        };
        values.reshape(self.shape)
    }

    fn blocks(&self) -> Nf4Blocks {
        Nf4Blocks {
            codes: self.codes.clone(),
            absmax: self.absmax.clone(),
            code: self.code.clone(),
            block_size: self.block_size,
            rounding: self.rounding,
            dtype: self.dtype,
        }
    }
}

impl Nf4<2> {
    /// Whether each row begins with a block, so that rows can be decoded alone.
    pub(crate) fn has_whole_rows(&self) -> bool {
        self.shape[1].is_multiple_of(self.block_size)
    }

    /// Computes some dense rows, one after the other; they begin with blocks.
    pub(crate) fn part(&self, rows: Range<usize>) -> Tensor<2> {
        let [_, columns] = self.shape;
        let blocks = columns / self.block_size;
        let (bytes, n_rows) = (columns / 2, rows.len());
        let codes = self.codes.clone();
        let codes = codes.narrow(0, rows.start * bytes, n_rows * bytes);
        let absmax = self.absmax.clone();
        let absmax = absmax.narrow(0, rows.start * blocks, n_rows * blocks);
        self.decoded(codes, absmax, n_rows)
    }

    /// Computes the dense rows at some indices, `[n]`; they begin with blocks.
    pub(crate) fn rows(&self, indices: Tensor<1, Int>) -> Tensor<2> {
        let [rows, columns] = self.shape;
        let [n_rows] = indices.dims();
        let codes = self.codes.clone().reshape([rows, columns / 2]);
        let codes = codes.select(0, indices.clone()).flatten(0, 1);
        let absmax = self.absmax.clone();
        let absmax = absmax.reshape([rows, columns / self.block_size]);
        let absmax = absmax.select(0, indices).flatten(0, 1);
        self.decoded(codes, absmax, n_rows)
    }

    fn decoded(&self, codes: Tensor<1, Int>, absmax: Tensor<1>, rows: usize) -> Tensor<2> {
        let [_, columns] = self.shape;
        let blocks = Nf4Blocks {
            codes,
            absmax,
            ..self.blocks()
        };
        nf4_values(blocks).reshape([rows, columns])
    }

    /// `x · weightᵀ` for few rows off the tape on the CPU, where the weight need not be made dense as a whole.
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn few_rows(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let ([out_features, _], blocks) = (self.shape, self.blocks());
        nf4_multiplies_packed(x, &blocks).then(|| nf4_linear(x.clone(), blocks, out_features))
    }
}
