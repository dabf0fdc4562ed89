//! Kernels over rows and single values: the RMS norm of a sum, and the gated GELU.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::Shape;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::kernels::cube::launch::{UNITS, cubes, cubes_for, like, shared_sum};

/// Returns `x + delta` (if there is a delta) and the RMS norm of it, `[rows, size]` each.
pub(crate) fn add_norm(
    x: CubeTensor,
    delta: Option<CubeTensor>,
    weight: CubeTensor,
    eps: f64,
) -> (CubeTensor, CubeTensor) {
    let [rows, size] = x.meta.shape().dims::<2>();
    let normed = like(&x, Shape::new([rows, size]));
    let adds = delta.is_some();
    let delta = delta.unwrap_or_else(|| x.clone());
    let sum = if adds {
        like(&x, Shape::new([rows, size]))
    } else {
        like(&x, Shape::new([1]))
    };
    let client = x.client.clone();
    let dtype = dtype_to_elem_type(x.dtype);
    add_norm_kernel::launch(
        &client,
        cubes(rows, 1),
        CubeDim::new_1d(UNITS as u32),
        x.into_buffer_arg(),
        delta.into_buffer_arg(),
        into_contiguous(weight).into_buffer_arg(),
        sum.clone().into_buffer_arg(),
        normed.clone().into_buffer_arg(),
        eps as f32,
        size,
        adds,
        dtype,
    );
    (sum, normed)
}

/// One cube per row.
#[cube(launch)]
fn add_norm_kernel<E: Float>(
    x: &[E],
    delta: &[E],
    weight: &[E],
    sum: &mut [E],
    normed: &mut [E],
    eps: f32,
    #[comptime] size: usize,
    #[comptime] adds: bool,
    #[define(E)] _dtype: ElemType,
) {
    let unit = UNIT_POS as usize;
    let first = CUBE_POS_X as usize * size;
    let mut squares = Shared::<[f32]>::new_slice(UNITS);
    let mut square = 0.0f32;
    let mut idx = unit;
    while idx < size {
        let mut value = f32::cast_from(x[first + idx]);
        if comptime!(adds) {
            let added = E::cast_from(value + f32::cast_from(delta[first + idx]));
            sum[first + idx] = added;
            value = f32::cast_from(added);
        }
        square += value * value;
        idx += UNITS;
    }
    squares[unit] = square;
    let total = shared_sum(&mut squares, unit);
    let scale = (total / f32::cast_from(size as u32) + eps).inverse_sqrt();
    idx = unit;
    while idx < size {
        let value = if comptime!(adds) {
            f32::cast_from(sum[first + idx])
        } else {
            f32::cast_from(x[first + idx])
        };
        let weight = f32::cast_from(weight[idx]) + 1.0;
        normed[first + idx] = E::cast_from(value * scale * weight);
        idx += UNITS;
    }
}

/// Computes `gelu_tanh(gate) · up`.
pub(crate) fn gated_gelu(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let n_values = gate.meta.num_elements();
    let out = like(&gate, gate.meta.shape().clone());
    let client = gate.client.clone();
    let dtype = dtype_to_elem_type(gate.dtype);
    gated_gelu_kernel::launch(
        &client,
        cubes_for(n_values),
        CubeDim::new_1d(UNITS as u32),
        gate.into_buffer_arg(),
        up.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        n_values as u32,
        dtype,
    );
    out
}

/// One thread per value.
#[cube(launch)]
fn gated_gelu_kernel<E: Float>(
    gate: &[E],
    up: &[E],
    out: &mut [E],
    n_values: u32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < n_values as usize {
        let x = f32::cast_from(gate[ABSOLUTE_POS]);
        // 2·√(2/π) and that times 0.044715, as in `ops::gated_gelu::gelu_tanh`.
        let slope = 1.595_769 + 0.071_354_81 * x * x;
        let gelu = x / (1.0 + (-x * slope).exp());
        out[ABSOLUTE_POS] = E::cast_from(gelu * f32::cast_from(up[ABSOLUTE_POS]));
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::cube::launch::testing::{assert_same, cube_devices, noise, put};
    use burn::tensor::DType;

    const ROWS: usize = 3;

    #[test]
    fn a_sum_and_its_norm_in_one_pass_are_the_plain_ones() {
        const SIZE: usize = 300;
        let [(x, x_data), (delta, delta_data)] = [1, 2].map(|seed| noise(seed, [ROWS, SIZE]));
        let (weight, weight_data) = noise(3, [SIZE]);
        let norm = |x: &[f32]| -> Vec<f32> {
            let rows = x.chunks(SIZE).flat_map(|row| {
                let square: f32 = row.iter().map(|value| value * value).sum();
                let scale = (square / SIZE as f32 + 1e-6).sqrt().recip();
                let weight = &weight;
                (0..SIZE).map(move |idx| row[idx] * scale * (1.0 + weight[idx]))
            });
            rows.collect()
        };
        let sum: Vec<f32> = x.iter().zip(&delta).map(|(x, delta)| x + delta).collect();
        for device in cube_devices() {
            let [x_there, delta, weight] =
                [&x_data, &delta_data, &weight_data].map(|data| put(data.clone(), &device));
            let (_, normed) = add_norm(x_there.clone(), None, weight.clone(), 1e-6);
            assert_same(normed, norm(&x));
            let (added, normed) = add_norm(x_there, Some(delta), weight, 1e-6);
            assert_same(added, sum.clone());
            assert_same(normed, norm(&sum));
        }
    }

    #[test]
    fn the_gated_gelu_in_one_pass_is_the_plain_one() {
        let [(gate, gate_data), (up, up_data)] = [1, 2].map(|seed| noise(seed, [2, 333]));
        let expected: Vec<f32> = gate
            .iter()
            .zip(&up)
            .map(|(&x, up)| {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh()) * up
            })
            .collect();
        for device in cube_devices() {
            let [gate, up] = [&gate_data, &up_data].map(|data| put(data.clone(), &device));
            assert_eq!(gate.dtype, DType::F32);
            assert_same(gated_gelu(gate, up), expected.clone());
        }
    }
}
