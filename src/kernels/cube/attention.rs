//! Attention of one new token per row behind a cache: rotary positions, the write into the cache, and grouped-query attention.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::Shape;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::kernels::cube::launch::{UNITS, cubes, cubes_for, like, shared_max, shared_sum};

/// Sizes of grouped-query attention, and the column of the new tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionForm {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) column: usize,
}

/// Rotates queries and keys by their positions, writes keys and values into the storage and returns the queries,
/// `[rows, heads · head_dim]`.
pub(crate) fn rotate(
    [query, key, value]: [CubeTensor; 3],
    [cos, sin]: [CubeTensor; 2],
    [keys, values]: [&mut CubeTensor; 2],
    form: AttentionForm,
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
pub(crate) fn attend(
    query: CubeTensor,
    [keys, values]: [&CubeTensor; 2],
    positions: CubeTensor,
    form: AttentionForm,
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::kernels::cube::launch::testing::{assert_same, cube_devices, noise, put};
    use burn::backend::ops::IntTensorOps;
    use burn::tensor::TensorData;
    use burn_cubecl::CubeBackend;

    const FORM: AttentionForm = AttentionForm {
        heads: 4,
        kv_heads: 2,
        head_dim: 48,
        column: 599,
    };
    const ROWS: usize = 3;
    const COLUMNS: usize = 640;

    #[test]
    fn a_new_token_is_rotated_stored_and_attends_to_all_before_it() {
        let AttentionForm {
            heads,
            kv_heads,
            head_dim,
            column,
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
}
