//! Weights in eight bits, a scale for each row.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::kernels::ops::int8::{Int8Rows, ZERO, int8_linear, int8_values};

/// A frozen weight in eight bits a value: `(code − 128) · scale`, one scale a row.
#[derive(Module, Debug)]
pub struct Int8 {
    /// U8, `[rows, columns]`.
    codes: Tensor<2, Int>,
    /// f32, `[rows]`.
    scales: Tensor<1>,
    #[module(skip)]
    dtype: DType,
}

impl Int8 {
    /// Quantizes dense values, row after row; they are decoded to `dtype`.
    ///
    /// # Panics
    ///
    /// Panics if there are not as many values as the shape needs.
    pub fn from_values(values: &[f32], shape: [usize; 2], dtype: DType, device: &Device) -> Self {
        let [rows, columns] = shape;
        assert_eq!(values.len(), rows * columns, "a value for each place");
        let mut quantized = Int8Codes::with_capacity(shape);
        quantized.extend(values);
        quantized.into_weight(dtype, device)
    }

    /// The weight's shape.
    pub fn shape(&self) -> [usize; 2] {
        self.codes.dims()
    }

    fn of(&self, codes: Tensor<2, Int>, scales: Tensor<1>) -> Int8Rows {
        Int8Rows {
            codes,
            scales,
            dtype: self.dtype,
        }
    }

    /// Computes the dense weight.
    pub fn dequantize(&self) -> Tensor<2> {
        int8_values(self.of(self.codes.clone(), self.scales.clone()))
    }

    /// Computes some dense rows, one after the other.
    pub(crate) fn part(&self, rows: Range<usize>) -> Tensor<2> {
        let codes = self.codes.clone().narrow(0, rows.start, rows.len());
        let scales = self.scales.clone().narrow(0, rows.start, rows.len());
        int8_values(self.of(codes, scales))
    }

    /// Computes the dense rows at some indices, `[n]`.
    pub(crate) fn rows(&self, indices: Tensor<1, Int>) -> Tensor<2> {
        let codes = self.codes.clone().select(0, indices.clone());
        int8_values(self.of(codes, self.scales.clone().select(0, indices)))
    }

    /// `x · weightᵀ`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn linear(&self, x: Tensor<2>) -> Tensor<2> {
        int8_linear(x, self.of(self.codes.clone(), self.scales.clone()))
    }
}

/// Codes and scales of the rows that were quantized so far.
pub(crate) struct Int8Codes {
    codes: Vec<u8>,
    scales: Vec<f32>,
    columns: usize,
}

impl Int8Codes {
    /// No row yet, with room for a weight of that shape.
    pub(crate) fn with_capacity([rows, columns]: [usize; 2]) -> Self {
        Self {
            codes: Vec::with_capacity(rows * columns),
            scales: Vec::with_capacity(rows),
            columns,
        }
    }

    /// Quantizes whole rows, each to the nearest of 255 steps between plus and minus its largest value.
    pub(crate) fn extend(&mut self, rows: &[f32]) {
        /// Steps on each side of zero.
        const STEPS: f32 = 127.0;
        for row in rows.chunks_exact(self.columns.max(1)) {
            let largest = row.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
            let scale = largest / STEPS;
            self.scales.push(scale);
            let steps = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let code = |x: &f32| ((x * steps).round() + f32::from(ZERO)) as u8;
            self.codes.extend(row.iter().map(code));
        }
    }

    pub(crate) fn into_weight(self, dtype: DType, device: &Device) -> Int8 {
        let rows = self.scales.len();
        let codes = TensorData::new(self.codes, [rows, self.columns]);
        let scales = TensorData::new(self.scales, [rows]);
        Int8 {
            codes: Tensor::from_data(codes, (device, DType::U8)),
            scales: Tensor::from_data(scales, (device, DType::F32)),
            dtype,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_off_by_half_a_step_of_its_row_at_most_and_zero_stays_zero() {
        let values = [
            0.0, 0.5, -1.0, 0.013, 0.0, 0.0, 0.0, 0.0, 3.0, -0.4, 2.9, 0.1,
        ];
        let weight = Int8::from_values(&values, [3, 4], DType::F32, &Device::default());
        let decoded: Vec<f32> = weight.dequantize().into_data().iter().collect();
        let rows = values.chunks(4).zip(decoded.chunks(4)).zip([1.0, 0.0, 3.0]);
        for ((values, decoded), largest) in rows {
            for (value, decoded) in values.iter().zip(decoded) {
                let off = (value - decoded).abs();
                assert!(off <= largest / 254.0 + 1e-6, "{value} {decoded}");
            }
        }
        assert_eq!(decoded[0], 0.0);
        let part: Vec<f32> = weight.part(1..3).into_data().iter().collect();
        assert_eq!(part, decoded[4..]);
        let picked = weight.rows(Tensor::from_ints([2, 0], &Device::default()));
        let picked: Vec<f32> = picked.into_data().iter().collect();
        assert_eq!(picked, [&decoded[8..], &decoded[..4]].concat());
    }
}
