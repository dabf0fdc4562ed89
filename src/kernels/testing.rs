//! Checks of the operations against the plain expressions.

use burn::tensor::{Device, Distribution, Tensor, Tolerance};

/// Compares values and gradients of an operation on random numbers with those of its plain expression.
pub(crate) fn assert_same<const N: usize>(
    case: &str,
    sizes: [usize; N],
    fused: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    plain: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let device = Device::default();
    device.seed(5);
    let numbers =
        |size: usize| Tensor::<1>::random([size], Distribution::Normal(0.0, 1.5), &device);
    let inputs = sizes.map(numbers);
    let tracked = || inputs.clone().map(|input| input.autodiff().require_grad());
    let tolerance = Tolerance::<f32>::absolute(2e-5).set_relative(2e-5);

    let untracked = fused(inputs.clone());
    let [size] = untracked.dims();
    let to_output = numbers(size).autodiff();
    let (in_fused, in_plain) = (tracked(), tracked());
    let (out_fused, out_plain) = (fused(in_fused.clone()), plain(in_plain.clone()));
    for out in [untracked, out_fused.clone().without_autodiff()] {
        let expected = out_plain.clone().without_autodiff().into_data();
        out.into_data().assert_approx_eq(&expected, tolerance);
    }
    let grads_fused = (out_fused * to_output.clone()).sum().backward();
    let grads_plain = (out_plain * to_output).sum().backward();
    for (input_idx, (fused, plain)) in in_fused.iter().zip(&in_plain).enumerate() {
        let what = format!("{case}, gradient of input {input_idx}");
        let fused = fused.grad(&grads_fused).unwrap_or_else(|| panic!("{what}"));
        let plain = plain.grad(&grads_plain).unwrap_or_else(|| panic!("{what}"));
        fused
            .into_data()
            .assert_approx_eq(&plain.into_data(), tolerance);
    }
}

/// Numbers between -1 and 1.
pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// `lhs[row][i] · rhs[i][column]`, one number at a time.
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

/// Compares products.
pub(crate) fn assert_close(got: &[f32], expected: &[f32], case: &str) {
    assert_eq!(got.len(), expected.len(), "{case}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-4, "{case}: {got} {expected}");
    }
}
