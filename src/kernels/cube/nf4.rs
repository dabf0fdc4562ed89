//! Decoding of NF4 in one kernel.
//!
//! The plain operations read and write every value several times as f32 and as integers; this kernel reads four bits and
//! writes the final value. The results are equal bit for bit.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// How codes are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Values that share a scale; even.
    pub(crate) block_size: usize,
    /// Dtype that values are rounded to first.
    pub(crate) rounding: DType,
    /// Dtype of the result.
    pub(crate) dtype: DType,
}

/// Returns whether there is a kernel for a device.
pub(crate) fn supports(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Cube(_)
    )
}

/// Decodes all values.
///
/// # Shapes
///
/// - codes: `[bytes]`, two codes each, the first in the high half
/// - absmax: `[blocks]`, f32
/// - code: `[16]`, f32
/// - output: `[2 · bytes]`
///
/// # Panics
///
/// Panics unless it [supports](supports) the device.
pub(crate) fn values(
    codes: Tensor<1, Int>,
    absmax: Tensor<1>,
    code: Tensor<1>,
    form: Form,
) -> Tensor<1> {
    let [absmax, code] = [absmax, code].map(|tensor| tensor.without_autodiff().into_dispatch());
    Tensor::from_dispatch(Dispatch::nf4_values(
        codes.into_dispatch(),
        absmax,
        code,
        form,
    ))
}

#[backend_extension(Cube, Fusion)]
trait Nf4Values: Backend {
    #[fusion(dtype = form.dtype, shape = Shape::new([2 * codes.num_elements()]))]
    fn nf4_values(
        codes: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        code: FloatTensor<Self>,
        form: Form,
    ) -> FloatTensor<Self>;
}

impl Nf4Values for CubeBackend {
    fn nf4_values(
        codes: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        code: FloatTensor<Self>,
        form: Form,
    ) -> FloatTensor<Self> {
        let [codes, absmax, code] = [codes, absmax, code].map(into_contiguous);
        let client = codes.client.clone();
        let bytes = codes.meta.num_elements();
        let values = empty_device_contiguous_dtype(
            client.clone(),
            codes.device.clone(),
            Shape::new([2 * bytes]),
            form.dtype,
        );
        let cube_dim = CubeDim::new(&client, bytes);
        values_kernel::launch(
            &client,
            cubecl::calculate_cube_count_elemwise(&client, bytes, cube_dim),
            cube_dim,
            codes.into_buffer_arg(),
            absmax.into_buffer_arg(),
            code.into_buffer_arg(),
            values.clone().into_buffer_arg(),
            form.block_size,
            form.rounding,
            dtype_to_elem_type(form.dtype),
        );
        values
    }
}

/// One thread decodes the two values of a byte.
#[cube(launch)]
fn values_kernel<O: Float>(
    codes: &[u8],
    absmax: &[f32],
    code: &[f32],
    values: &mut [Vector<O, Const<2>>],
    #[comptime] block_size: usize,
    #[comptime] rounding: DType,
    #[define(O)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < values.len() {
        let byte = u32::cast_from(codes[ABSOLUTE_POS]);
        let scale = absmax[ABSOLUTE_POS / comptime!(block_size / 2)];
        let first = rounded(code[(byte >> 4) as usize] * scale, rounding);
        let second = rounded(code[(byte & 15) as usize] * scale, rounding);
        let mut pair = Vector::<O, Const<2>>::empty();
        pair.insert(0usize, O::cast_from(first));
        pair.insert(1usize, O::cast_from(second));
        values[ABSOLUTE_POS] = pair;
    }
}

/// Rounds a value to another dtype with integer arithmetic: not every device has both dtypes, and drivers optimize a
/// conversion there and back away.
#[cube]
fn rounded(value: f32, #[comptime] rounding: DType) -> f32 {
    let bits = u32::reinterpret(value);
    if comptime!(rounding == DType::BF16) {
        f32::reinterpret((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
    } else if comptime!(rounding == DType::F16) {
        let sign = bits & 0x8000_0000;
        let size = bits ^ sign;
        let mut nearest = (size + 0xfff + ((size >> 13) & 1)) & 0xffff_e000;
        // Below the smallest normal number, 2⁻¹⁴, f16 values are 2⁻²⁴ apart.
        if size < 0x3880_0000 {
            let steps = f32::reinterpret(size) * 16_777_216.0;
            let whole = u32::cast_from(steps);
            let rest = steps - f32::cast_from(whole);
            let up = rest > 0.5 || (rest == 0.5 && whole & 1 == 1);
            let steps = whole + u32::cast_from(up);
            nearest = u32::reinterpret(f32::cast_from(steps) * 5.960_464_5e-8);
        }
        f32::reinterpret(nearest | sign)
    } else {
        value
    }
}
