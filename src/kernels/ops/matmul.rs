//! The one matrix product of the crate.

use burn::tensor::Tensor;

/// Matrix product of two tensors of one dtype.
///
/// CUDA kernels read the right operand as if it had the left one's dtype, so a mixed product would be silent garbage
/// there; this one refuses it on every backend.
///
/// # Shapes
///
/// - lhs: `[.., rows, inner]`
/// - rhs: `[.., inner, columns]`
/// - output: `[.., rows, columns]`
///
/// # Panics
///
/// If the dtypes differ.
pub fn matmul<const D: usize>(lhs: Tensor<D>, rhs: Tensor<D>) -> Tensor<D> {
    assert_eq!(
        lhs.dtype(),
        rhs.dtype(),
        "matmul needs one dtype: cast one of the operands first"
    );
    lhs.matmul(rhs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    #[should_panic(expected = "one dtype")]
    fn operands_of_different_dtypes_are_refused() {
        let device = Device::default();
        let lhs = Tensor::<2>::ones([2, 2], (&device, DType::F32));
        let rhs = Tensor::<2>::ones([2, 2], (&device, DType::F64));
        matmul(lhs, rhs);
    }
}
