//! What the machine reaches at most: arithmetic in a square product, bandwidth in one of a matrix with a vector.

use std::time::Instant;

use apc::nn::{Linear, Weight, WeightMut, Weights};
use apc::parallel;
use burn::tensor::{DType, Device, Distribution, Tensor};

/// Floating-point operations a second in a product of two square matrices, the best of five.
pub(crate) fn matrix_peak(options: (&Device, DType)) -> f64 {
    let n = if parallel::is_cpu(options.0) {
        1536
    } else {
        8192
    };
    let [a, b] = [0, 1].map(|_| Tensor::<2>::random([n, n], NORMAL, options));
    let product = || a.clone().matmul(b.clone());
    2.0 * (n as f64).powi(3) / best_of_five(options.0, product)
}

/// Bytes a second in a product of a large matrix with a vector, the best of five.
pub(crate) fn bandwidth(options: (&Device, DType)) -> f64 {
    let (device, dtype) = options;
    let [inner, out] = if parallel::is_cpu(device) {
        [2048, 16_384]
    } else {
        [8192, 131_072]
    };
    let mut linear = Linear::new(inner, out, false, 0.02, device);
    linear.weights("", &mut |_, weight| {
        if let WeightMut::Matrix(weight) = weight {
            *weight = Weight::frozen(Tensor::random([out, inner], NORMAL, options));
        }
    });
    let x = Tensor::<2>::random([1, inner], NORMAL, options);
    let bytes = (dtype.size() * inner * out) as f64;
    bytes / best_of_five(device, || linear.forward(x.clone()))
}

const NORMAL: Distribution = Distribution::Normal(0.0, 1.0);

/// The first counts for nothing: its kernels may have to be compiled.
fn best_of_five(device: &Device, work: impl Fn() -> Tensor<2>) -> f64 {
    let seconds = (0..6).map(|_| {
        wait(device);
        let start = Instant::now();
        let _result = work();
        wait(device);
        start.elapsed().as_secs_f64()
    });
    seconds.skip(1).fold(f64::MAX, f64::min)
}

/// Waits until a device has done all it was given.
fn wait(device: &Device) {
    device.sync().expect("the device works");
}
