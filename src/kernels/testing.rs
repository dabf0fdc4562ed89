//! Checks of operations against their plain expressions, and inputs for them.

use burn::tensor::{Device, Tensor, TensorData, Tolerance};

/// Compares values and gradients of an operation with those of its plain expression, on and off the tape.
pub(crate) fn assert_same<const N: usize>(
    case: &str,
    sizes: [usize; N],
    operation: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    plain: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let device = Device::default();
    let inputs: [Tensor<1>; N] =
        core::array::from_fn(|idx| noise([sizes[idx]], 5 + idx as u32, &device));
    let tracked = || inputs.clone().map(|input| input.autodiff().require_grad());
    let tolerance = Tolerance::<f32>::absolute(2e-5).set_relative(2e-5);

    let untracked = operation(inputs.clone());
    let to_output: Tensor<1> = noise(untracked.dims(), 4, &device).autodiff();
    let (inputs_here, inputs_there) = (tracked(), tracked());
    let (here, there) = (operation(inputs_here.clone()), plain(inputs_there.clone()));
    for out in [untracked, here.clone().without_autodiff()] {
        let expected = there.clone().without_autodiff().into_data();
        out.into_data().assert_approx_eq(&expected, tolerance);
    }
    let grads_here = (here * to_output.clone()).sum().backward();
    let grads_there = (there * to_output).sum().backward();
    for (input_idx, (here, there)) in inputs_here.iter().zip(&inputs_there).enumerate() {
        let what = format!("{case}, gradient of input {input_idx}");
        let here = here.grad(&grads_here).unwrap_or_else(|| panic!("{what}"));
        let there = there.grad(&grads_there).unwrap_or_else(|| panic!("{what}"));
        here.into_data()
            .assert_approx_eq(&there.into_data(), tolerance);
    }
}

/// A tensor of [roughly normal](numbers) values with deviation 1.5, the same on any device.
pub(crate) fn noise<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let three = numbers(3 * count, seed);
    // The sum of three uniform values has deviation one.
    let values = three.chunks_exact(3).map(|x| 1.5 * (x[0] + x[1] + x[2]));
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
}

/// The GPUs of this machine that have a backend in this build; there may be none.
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) fn gpus() -> Vec<Device> {
    use burn::tensor::DeviceType;
    let kinds = [
        #[cfg(feature = "cuda")]
        DeviceType::Cuda,
        #[cfg(feature = "vulkan")]
        DeviceType::Vulkan,
    ];
    let of = |kind| {
        let found = std::panic::catch_unwind(|| Device::enumerate(kind).to_vec());
        found.unwrap_or_default() // without a driver
    };
    kinds.into_iter().flat_map(of).collect()
}

/// Tolerance of matrix products on GPUs: on CUDA the fastest kernels for f32 round their operands to TF32, which has ten bits.
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) const PRODUCT_TOLERANCE: f32 = if cfg!(feature = "cuda") { 2e-3 } else { 1e-5 };

/// Pseudorandom numbers between -1 and 1.
pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The matrix product by its definition.
pub(crate) fn plain_product(
    lhs: impl Fn(usize, usize) -> f32,
    rhs: impl Fn(usize, usize) -> f32,
    shape: [usize; 3],
) -> Vec<f32> {
    let [rows, inner, columns] = shape;
    let mut out = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            out.push((0..inner).map(|i| lhs(row, i) * rhs(i, column)).sum());
        }
    }
    out
}

/// Compares two lists of products.
pub(crate) fn assert_close(got: &[f32], expected: &[f32], case: &str) {
    assert_eq!(got.len(), expected.len(), "{case}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-4, "{case}: {got} {expected}");
    }
}
