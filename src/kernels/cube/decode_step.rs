//! One decoding step of a transformer layer (one token per row behind a cache) as one operation on a GPU.
//!
//! With one token per row the host is the bottleneck: a layer is forty operations, each of which burn queues, looks up and
//! tries to fuse. This launches thirteen kernels itself. New keys and values are written into the cache's storage in place,
//! and attention reads them there.
//!
//! The layer is `h += attention(rms_norm(h))`, `h += down(gelu_tanh(gate(n)) · up(n))` with `n = rms_norm(h)`, norms that
//! scale with `1 + weight`, rotary positions and grouped-query attention; projections have no bias.

use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, ExtensionType, backend_extension};
use burn::tensor::{Device, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::kernels::cube::attention::{AttentionForm, attend, rotate};
use crate::kernels::cube::norm_and_gelu::{add_norm, gated_gelu};

/// The shape of a layer, and where in the storage the new token goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepForm {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) eps: f64,
    /// The column of the new tokens.
    pub(crate) column: usize,
}

/// Inputs of a layer; all floats have one dtype.
#[derive(Debug)]
pub(crate) struct Step {
    /// `[rows, 1, hidden_size]`
    pub(crate) hidden: Tensor<3>,
    /// `[hidden_size]`
    pub(crate) norms: [Tensor<1>; 2],
    /// Query, key, value, output, gate, up and down, `[out, in]`
    pub(crate) projections: [Tensor<2>; 7],
    /// Cosines and sines, `[rows, 1, 1, head_dim / 2]`
    pub(crate) rope: [Tensor<4>; 2],
    /// `[rows, 1]`
    pub(crate) positions: Tensor<2, Int>,
    /// Keys and values, `[slots, kv_heads, columns, head_dim]`
    pub(crate) storage: [Tensor<4>; 2],
}

/// Returns whether there are kernels for heads of that size on a device.
pub(crate) fn supports(device: &Device, head_dim: usize) -> bool {
    let device = device.clone().inner();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_)) && head_dim.is_multiple_of(8)
}

/// Runs the layer; returns the hidden states, `[rows, 1, hidden_size]`, and the storage with the new tokens.
///
/// # Panics
///
/// Panics unless it [supports](supports) the device and the size of the heads.
pub(crate) fn step(input: Step, form: StepForm) -> (Tensor<3>, [Tensor<4>; 2]) {
    let [input_norm, post_attention_norm] = input.norms.map(untracked);
    let [query, key, value, output, gate, up, down] = input.projections.map(untracked);
    let [cos, sin] = input.rope.map(untracked);
    let [keys, values] = input.storage.map(untracked);
    let parts = StepParts {
        hidden: untracked(input.hidden),
        input_norm,
        post_attention_norm,
        query,
        key,
        value,
        output,
        gate,
        up,
        down,
        cos,
        sin,
        positions: input.positions.into_dispatch(),
        keys,
        values,
    };
    let (hidden, keys, values) = Dispatch::decode_step(parts, form);
    let storage = [keys, values].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(hidden), storage)
}

fn untracked<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Dispatch> {
    tensor.without_autodiff().into_dispatch()
}

/// [`Step`] on a backend.
#[derive(ExtensionType)]
#[extension_type(fusion)]
struct StepParts<B: Backend> {
    hidden: FloatTensor<B>,
    input_norm: FloatTensor<B>,
    post_attention_norm: FloatTensor<B>,
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    output: FloatTensor<B>,
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    down: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    positions: IntTensor<B>,
    keys: FloatTensor<B>,
    values: FloatTensor<B>,
}

#[backend_extension(Cube, Fusion)]
trait DecodeStep: Backend {
    #[fusion(meta = |parts, _form| (parts.hidden.clone(), parts.keys.clone(), parts.values.clone()))]
    fn decode_step(
        #[extension_type] parts: StepParts<Self>,
        form: StepForm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl DecodeStep for CubeBackend {
    fn decode_step(
        parts: StepParts<Self>,
        form: StepForm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [rows, _, hidden_size] = parts.hidden.meta.shape().dims::<3>();
        let shape = parts.hidden.meta.shape().clone();
        let flat = Shape::new([rows, hidden_size]);
        let hidden = into_contiguous(Self::float_reshape(parts.hidden, flat));
        let [mut keys, mut values] = [parts.keys, parts.values].map(own);

        let (_, normed) = add_norm(hidden.clone(), None, parts.input_norm, form.eps);
        let query = project(&normed, parts.query);
        let key = project(&normed, parts.key);
        let value = project(&normed, parts.value);
        let positions =
            into_contiguous(Self::int_cast(parts.positions, burn::tensor::IntDType::I32));
        let angles = [parts.cos, parts.sin].map(into_contiguous);
        let heads = AttentionForm {
            heads: form.heads,
            kv_heads: form.kv_heads,
            head_dim: form.head_dim,
            column: form.column,
        };
        let query = rotate([query, key, value], angles, [&mut keys, &mut values], heads);
        let attended = attend(query, [&keys, &values], positions, heads);
        let attended = project(&attended, parts.output);
        let (hidden, normed) =
            add_norm(hidden, Some(attended), parts.post_attention_norm, form.eps);
        let gate = project(&normed, parts.gate);
        let up = project(&normed, parts.up);
        let fed = project(&gated_gelu(gate, up), parts.down);
        let hidden = Self::float_reshape(Self::float_add(hidden, fed), shape);
        (hidden, keys, values)
    }
}

/// Computes `x · weightᵀ`.
///
/// A product of few rows with a long inner dimension has too little parallelism to keep a GPU busy, so it is split along the
/// inner dimension and the parts are summed (split-K).
fn project(x: &CubeTensor, weight: CubeTensor) -> CubeTensor {
    const PARTS: usize = 8;
    let [rows, inner] = x.meta.shape().dims::<2>();
    let [out, _] = weight.meta.shape().dims::<2>();
    let product = if rows > 1 && inner >= 4 * out && inner.is_multiple_of(16 * PARTS) {
        // Copied to contiguous parts here: the matrix product would copy strided parts itself, several times slower.
        let cut = |tensor: CubeTensor, n: usize| {
            let parts = Shape::new([n, PARTS, inner / PARTS]);
            let parts = CubeBackend::float_reshape(tensor, parts);
            into_contiguous(CubeBackend::float_permute(parts, &[1, 0, 2])) // [PARTS, n, inner / PARTS]
        };
        let x = cut(x.clone(), rows);
        let weight = CubeBackend::float_swap_dims(cut(weight, out), 1, 2);
        let products = CubeBackend::float_matmul(x, weight); // [PARTS, rows, out]
        let sum = CubeBackend::float_sum_dim(products, 0);
        CubeBackend::float_reshape(sum, Shape::new([rows, out]))
    } else {
        CubeBackend::float_matmul(x.clone(), CubeBackend::float_swap_dims(weight, 0, 1))
    };
    into_contiguous(product)
}

/// Returns the contiguous tensor, or a copy if its storage is shared; a copy need not be contiguous.
fn own(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    })
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::cube::launch::testing::{assert_near, cube_devices, noise, put};
    use crate::kernels::testing::PRODUCT_TOLERANCE;

    const ROWS: usize = 3;

    #[test]
    fn a_split_product_equals_the_whole_one() {
        let [inner, out] = [512, 100];
        let (x, x_data) = noise(1, [ROWS, inner]);
        let (weight, weight_data) = noise(2, [out, inner]);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b / 256.0).sum::<f32>();
        let expected: Vec<f32> = x
            .chunks(inner)
            .flat_map(|x| weight.chunks(inner).map(move |weight| dot(x, weight)))
            .collect();
        for device in cube_devices() {
            let [x, weight] = [&x_data, &weight_data].map(|data| put(data.clone(), &device));
            let product = project(&x, weight);
            let product = CubeBackend::float_mul_scalar(product, (1.0 / 256.0).into());
            assert_near(product, expected.clone(), PRODUCT_TOLERANCE);
        }
    }
}
