//! What all kernels here share: buffers, cube counts, and reductions over the threads of a cube.

use burn::tensor::Shape;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Threads per cube.
pub(crate) const UNITS: usize = 256;

/// Allocates a tensor of another shape with the device and dtype of `tensor`.
pub(crate) fn like(tensor: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape, tensor.dtype)
}

/// Returns `x` by `y` cubes.
pub(crate) fn cubes(x: usize, y: usize) -> CubeCount {
    CubeCount::Static(x as u32, y as u32, 1)
}

/// Returns enough cubes for `units` threads.
pub(crate) fn cubes_for(units: usize) -> CubeCount {
    cubes(units.div_ceil(UNITS), 1)
}

/// Sums one value per thread; every thread gets the result.
#[cube]
pub(crate) fn shared_sum(values: &mut Shared<[f32]>, unit: usize) -> f32 {
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
pub(crate) fn shared_max(values: &mut Shared<[f32]>, unit: usize) -> f32 {
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

/// Inputs and checks for tests of kernels.
#[cfg(all(test, feature = "flex"))]
pub(crate) mod testing {
    use burn::backend::DispatchDevice;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::{Device, TensorData, Tolerance};
    use burn_cubecl::ops::into_data_sync;
    use burn_cubecl::tensor::CubeTensor;
    use burn_cubecl::{CubeBackend, CubeDevice};

    use crate::kernels::testing::gpus;

    pub(crate) fn cube_devices() -> Vec<CubeDevice> {
        let cube = |device: Device| match device.as_dispatch() {
            DispatchDevice::Cube(device) => Some(device.clone()),
            _ => None,
        };
        gpus().into_iter().filter_map(cube).collect()
    }

    /// Numbers that look like noise, other ones for each seed.
    pub(crate) fn noise<const D: usize>(seed: usize, shape: [usize; D]) -> (Vec<f32>, TensorData) {
        let n_values: usize = shape.iter().product();
        let value = |idx| ((seed * 7919 + idx) as f32 * 12.9898).sin();
        let values: Vec<f32> = (0..n_values).map(value).collect();
        (values.clone(), TensorData::new(values, shape))
    }

    pub(crate) fn put(data: TensorData, device: &CubeDevice) -> CubeTensor {
        CubeBackend::float_from_data(data, device)
    }

    pub(crate) fn assert_same(found: CubeTensor, expected: Vec<f32>) {
        assert_near(found, expected, 1e-5);
    }

    pub(crate) fn assert_near(found: CubeTensor, expected: Vec<f32>, tolerance: f32) {
        let found = into_data_sync(found);
        let expected = TensorData::new(expected, found.shape().clone());
        found.assert_approx_eq(&expected, Tolerance::<f32>::absolute(tolerance));
    }
}
