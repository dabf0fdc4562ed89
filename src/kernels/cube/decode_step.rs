//! One decoding step of a transformer layer (one token per row behind a cache) as one operation on a GPU.
//!
//! With one token per row the host is the bottleneck: a layer is forty operations, each of which burn queues, looks up and
//! tries to fuse. This launches thirteen kernels itself. New keys and values are written into the cache's storage in place,
//! and attention reads them there.
//!
//! The layer is `h += attention(rms_norm(h))`, `h += down(gelu_tanh(gate(n)) · up(n))` with `n = rms_norm(h)`, norms that
//! scale with `1 + weight`, rotary positions and grouped-query attention; projections have no bias.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, ExtensionType, backend_extension};
use burn::tensor::{Device, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// Threads per cube.
const UNITS: usize = 256;

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
        let query = rotate([query, key, value], angles, [&mut keys, &mut values], form);
        let attended = attend(query, [&keys, &values], positions, form);
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

fn like(tensor: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, tensor.dtype)
}

fn cubes(x: usize, y: usize) -> CubeCount {
    CubeCount::Static(x as u32, y as u32, 1)
}

/// Returns enough cubes for `units` threads.
fn cubes_for(units: usize) -> CubeCount {
    cubes(units.div_ceil(UNITS), 1)
}

/// Returns `x + delta` (if there is a delta) and the RMS norm of it, `[rows, size]` each.
fn add_norm(
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

/// Sums one value per thread; every thread gets the result.
#[cube]
fn shared_sum(values: &mut Shared<[f32]>, unit: usize) -> f32 {
    sync_cube();
    let mut step = comptime!(UNITS / 2).runtime();
    while step > 0 {
        if unit < step {
            values[unit] += values[unit + step];
        }
        sync_cube();
        step /= 2;
    }
    let total = values[0];
    sync_cube();
    total
}

/// Finds the maximum of one value per thread; every thread gets the result.
#[cube]
fn shared_max(values: &mut Shared<[f32]>, unit: usize) -> f32 {
    sync_cube();
    let mut step = comptime!(UNITS / 2).runtime();
    while step > 0 {
        if unit < step {
            values[unit] = max(values[unit], values[unit + step]);
        }
        sync_cube();
        step /= 2;
    }
    let most = values[0];
    sync_cube();
    most
}

/// Rotates queries and keys by their positions, writes keys and values into the storage and returns the queries,
/// `[rows, heads · head_dim]`.
fn rotate(
    [query, key, value]: [CubeTensor; 3],
    [cos, sin]: [CubeTensor; 2],
    [keys, values]: [&mut CubeTensor; 2],
    form: StepForm,
) -> CubeTensor {
    let [rows, width] = query.meta.shape().dims::<2>();
    let [_, _, columns, _] = keys.meta.shape().dims::<4>();
    let turned = like(&query, Shape::new([rows, width]));
    let pairs = rows * (form.heads + 2 * form.kv_heads) * form.head_dim / 2;
    let client = query.client.clone();
    let dtype = dtype_to_elem_type(query.dtype);
    rotate_kernel::launch(
        &client,
        cubes_for(pairs),
        CubeDim::new_1d(UNITS as u32),
        query.into_buffer_arg(),
        key.into_buffer_arg(),
        value.into_buffer_arg(),
        cos.into_buffer_arg(),
        sin.into_buffer_arg(),
        turned.clone().into_buffer_arg(),
        keys.clone().into_buffer_arg(),
        values.clone().into_buffer_arg(),
        rows as u32,
        form.column as u32,
        columns as u32,
        form.heads,
        form.kv_heads,
        form.head_dim,
        dtype,
    );
    turned
}

/// One thread per pair of dimensions that are rotated against each other; values are copied as they are.
#[cube(launch)]
fn rotate_kernel<E: Float>(
    query: &[E],
    key: &[E],
    value: &[E],
    cos: &[E],
    sin: &[E],
    turned: &mut [E],
    keys: &mut [E],
    values: &mut [E],
    rows: u32,
    column: u32,
    columns: u32,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] head_dim: usize,
    #[define(E)] _dtype: ElemType,
) {
    let half = comptime!(head_dim / 2);
    let all_heads = comptime!(heads + 2 * kv_heads);
    let pair = ABSOLUTE_POS % half;
    let head = ABSOLUTE_POS / half % all_heads;
    let row = ABSOLUTE_POS / comptime!(half * all_heads);
    if row < rows as usize {
        let cos = f32::cast_from(cos[row * half + pair]);
        let sin = f32::cast_from(sin[row * half + pair]);
        if head < heads {
            let from = (row * heads + head) * head_dim + pair;
            let first = f32::cast_from(query[from]);
            let second = f32::cast_from(query[from + half]);
            turned[from] = E::cast_from(first * cos - second * sin);
            turned[from + half] = E::cast_from(second * cos + first * sin);
        } else {
            let head = (head - heads) % kv_heads;
            let from = (row * kv_heads + head) * head_dim + pair;
            let to = (row * kv_heads + head) * columns as usize + column as usize;
            let to = to * head_dim + pair;
            if ABSOLUTE_POS / half % all_heads < comptime!(heads + kv_heads) {
                let first = f32::cast_from(key[from]);
                let second = f32::cast_from(key[from + half]);
                keys[to] = E::cast_from(first * cos - second * sin);
                keys[to + half] = E::cast_from(second * cos + first * sin);
            } else {
                values[to] = value[from];
                values[to + half] = value[from + half];
            }
        }
    }
}

/// Computes attention of the queries, `[rows, heads · head_dim]`.
fn attend(
    query: CubeTensor,
    [keys, values]: [&CubeTensor; 2],
    positions: CubeTensor,
    form: StepForm,
) -> CubeTensor {
    let [rows, width] = query.meta.shape().dims::<2>();
    let [_, _, columns, _] = keys.meta.shape().dims::<4>();
    let seen = like(&query, Shape::new([rows, width]));
    let client = query.client.clone();
    let dtype = dtype_to_elem_type(query.dtype);
    // A thread reads sixteen bytes at once.
    let vector_size = 16 / query.dtype.size();
    attention_kernel::launch(
        &client,
        cubes(form.heads, rows),
        CubeDim::new_1d(UNITS as u32),
        vector_size,
        query.into_buffer_arg(),
        keys.clone().into_buffer_arg(),
        values.clone().into_buffer_arg(),
        positions.into_buffer_arg(),
        seen.clone().into_buffer_arg(),
        form.column as u32 + 1,
        columns as u32,
        (form.head_dim as f32).sqrt().recip(),
        form.heads,
        form.kv_heads,
        form.head_dim,
        dtype,
    );
    seen
}

/// One cube per row and head. Keys are taken in tiles of one per thread (flash attention): each thread computes the score of
/// one key, then each adds up some dimensions of the weighted values.
#[cube(launch)]
fn attention_kernel<E: Float, N: Size>(
    query: &[E],
    keys: &[Vector<E, N>],
    values: &[E],
    positions: &[i32],
    seen: &mut [E],
    end: u32,
    columns: u32,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] head_dim: usize,
    #[define(E)] _dtype: ElemType,
) {
    let vector_size = keys[0].vector_size();
    let unit = UNIT_POS as usize;
    let head = CUBE_POS_X as usize;
    let row = CUBE_POS_Y as usize;
    let end = end as usize;
    let start = end - 1 - positions[row] as usize;
    let kv_head = head / comptime!(heads / kv_heads);
    let first = (row * kv_heads + kv_head) * columns as usize;
    let own = (row * heads + head) * head_dim;

    let mut asked = Shared::<[f32]>::new_slice(head_dim);
    let mut idx = unit;
    while idx < head_dim {
        asked[idx] = f32::cast_from(query[own + idx]) * scale;
        idx += UNITS;
    }
    sync_cube();

    let per_unit = comptime!(head_dim.div_ceil(UNITS));
    let mut sums = Array::<f32>::new(per_unit);
    #[unroll]
    for part in 0..per_unit {
        sums[part] = 0.0;
    }
    let mut most = f32::min_value();
    let mut total = 0.0f32;
    let mut weights = Shared::<[f32]>::new_slice(UNITS);
    let mut partial = Shared::<[f32]>::new_slice(UNITS);
    let mut tile = start;
    while tile < end {
        let key = tile + unit;
        let mut score = f32::min_value();
        if key < end {
            let place = (first + key) * comptime!(head_dim / vector_size);
            score = 0.0;
            for vector_idx in 0..comptime!(head_dim / vector_size) {
                let vector = keys[place + vector_idx];
                #[unroll]
                for lane in 0..vector_size {
                    let asked = asked[vector_idx * vector_size + lane];
                    score += asked * f32::cast_from(vector.extract(lane));
                }
            }
        }
        partial[unit] = score;
        let before = most;
        most = max(most, shared_max(&mut partial, unit));
        let mut weight = 0.0f32;
        if key < end {
            weight = (score - most).exp();
        }
        weights[unit] = weight;
        partial[unit] = weight;
        let keep = (before - most).exp();
        total = total * keep + shared_sum(&mut partial, unit);
        let count = min(end - tile, UNITS);
        #[unroll]
        for part in 0..per_unit {
            let dim = unit + part * UNITS;
            if dim < head_dim {
                let mut sum = sums[part] * keep;
                for other in 0..count {
                    let value = values[(first + tile + other) * head_dim + dim];
                    sum += weights[other] * f32::cast_from(value);
                }
                sums[part] = sum;
            }
        }
        sync_cube();
        tile += UNITS;
    }
    #[unroll]
    for part in 0..per_unit {
        let dim = unit + part * UNITS;
        if dim < head_dim {
            seen[own + dim] = E::cast_from(sums[part] / total);
        }
    }
}

/// Computes `gelu_tanh(gate) · up`.
fn gated_gelu(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
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
    use crate::kernels::testing::{PRODUCT_TOLERANCE, gpus};
    use burn::tensor::{DType, TensorData, Tolerance};
    use burn_cubecl::CubeDevice;
    use burn_cubecl::ops::into_data_sync;

    const FORM: StepForm = StepForm {
        heads: 4,
        kv_heads: 2,
        head_dim: 48,
        eps: 1e-6,
        column: 599,
    };
    const ROWS: usize = 3;
    const COLUMNS: usize = 640;

    fn cube_devices() -> Vec<CubeDevice> {
        let cube = |device: Device| match device.as_dispatch() {
            DispatchDevice::Cube(device) => Some(device.clone()),
            _ => None,
        };
        gpus().into_iter().filter_map(cube).collect()
    }

    /// Numbers that look like noise, other ones for each seed.
    fn noise<const D: usize>(seed: usize, shape: [usize; D]) -> (Vec<f32>, TensorData) {
        let n_values: usize = shape.iter().product();
        let value = |idx| ((seed * 7919 + idx) as f32 * 12.9898).sin();
        let values: Vec<f32> = (0..n_values).map(value).collect();
        (values.clone(), TensorData::new(values, shape))
    }

    fn put(data: TensorData, device: &CubeDevice) -> CubeTensor {
        CubeBackend::float_from_data(data, device)
    }

    fn assert_same(found: CubeTensor, expected: Vec<f32>) {
        assert_near(found, expected, 1e-5);
    }

    fn assert_near(found: CubeTensor, expected: Vec<f32>, tolerance: f32) {
        let found = into_data_sync(found);
        let expected = TensorData::new(expected, found.shape().clone());
        found.assert_approx_eq(&expected, Tolerance::<f32>::absolute(tolerance));
    }

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
    fn a_new_token_is_rotated_stored_and_attends_to_all_before_it() {
        let StepForm {
            heads,
            kv_heads,
            head_dim,
            column,
            ..
        } = FORM;
        let (query, query_data) = noise(1, [ROWS, heads * head_dim]);
        let [(key, key_data), (value, value_data)] =
            [2, 3].map(|seed| noise(seed, [ROWS, kv_heads * head_dim]));
        let [(cos, cos_data), (sin, sin_data)] =
            [4, 5].map(|seed| noise(seed, [ROWS, 1, 1, head_dim / 2]));
        let storage = [ROWS + 1, kv_heads, COLUMNS, head_dim];
        let [(mut keys, keys_data), (mut values, values_data)] =
            [6, 7].map(|seed| noise(seed, storage));
        // One row has but its new token, one is short, one fills more than two rounds of threads.
        let positions = [0, 99, 599];

        let half = head_dim / 2;
        let turn = |x: &[f32], row: usize| -> Vec<f32> {
            let angle = |dim: usize| (cos[row * half + dim % half], sin[row * half + dim % half]);
            let turned = (0..head_dim).map(|dim| match dim {
                dim if dim < half => x[dim] * angle(dim).0 - x[dim + half] * angle(dim).1,
                dim => x[dim] * angle(dim).0 + x[dim - half] * angle(dim).1,
            });
            turned.collect()
        };
        for row in 0..ROWS {
            for head in 0..kv_heads {
                let from = (row * kv_heads + head) * head_dim;
                let to = ((row * kv_heads + head) * COLUMNS + column) * head_dim;
                let new = from..from + head_dim;
                keys[to..to + head_dim].copy_from_slice(&turn(&key[new.clone()], row));
                values[to..to + head_dim].copy_from_slice(&value[new]);
            }
        }
        let mut seen = Vec::new();
        for (row, position) in positions.into_iter().enumerate() {
            for head in 0..heads {
                let from = (row * heads + head) * head_dim;
                let query = turn(&query[from..from + head_dim], row);
                let first = (row * kv_heads + head / (heads / kv_heads)) * COLUMNS;
                let places = (first + column - position..=first + column).map(|at| at * head_dim);
                let score = |at: usize| -> f32 {
                    let products = query.iter().zip(&keys[at..]).map(|(q, k)| q * k);
                    (products.sum::<f32>() / (head_dim as f32).sqrt()).exp()
                };
                let total: f32 = places.clone().map(score).sum();
                seen.extend((0..head_dim).map(|dim| {
                    let weighted = places.clone().map(|at| score(at) * values[at + dim]);
                    weighted.sum::<f32>() / total
                }));
            }
        }

        for device in cube_devices() {
            let [
                query,
                key,
                value,
                cos,
                sin,
                mut stored_keys,
                mut stored_values,
            ] = [
                &query_data,
                &key_data,
                &value_data,
                &cos_data,
                &sin_data,
                &keys_data,
                &values_data,
            ]
            .map(|data| put(data.clone(), &device));
            let positions = TensorData::new(
                positions.map(|position| position as i32).to_vec(),
                [ROWS, 1],
            );
            let positions = CubeBackend::int_from_data(positions, &device);
            let stored = [&mut stored_keys, &mut stored_values];
            let turned = rotate([query, key, value], [cos, sin], stored, FORM);
            let found = attend(turned, [&stored_keys, &stored_values], positions, FORM);
            assert_same(found, seen.clone());
            assert_same(stored_keys, keys.clone());
            assert_same(stored_values, values.clone());
        }
    }

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
