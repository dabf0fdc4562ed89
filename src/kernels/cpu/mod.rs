//! Building blocks of the CPU loops: tensors as slices, vector arithmetic, products of matrices, rows of a softmax.
//!
//! Loops take slices; only `tensors` and `tape` know burn's CPU backend. Whole operations are in [`ops`](super::ops).

pub(crate) mod distances;
pub(crate) mod dots;
pub(crate) mod few_rows;
pub(crate) mod norm;
pub(crate) mod panels;
pub(crate) mod product;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod tape;
pub(crate) mod tensors;
