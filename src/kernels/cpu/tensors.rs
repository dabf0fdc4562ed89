//! Tensors of the CPU backend as slices, and how their rows are shared among threads.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};
use rayon::prelude::*;

/// Returns the tensor with its values in order from the start of its storage; copies only if they are not.
pub(crate) fn dense(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Returns the [`dense`] tensor, or a copy if its storage is shared.
pub(crate) fn owned(tensor: FlexTensor) -> FlexTensor {
    let mut tensor = dense(tensor);
    if tensor.try_storage_mut::<f32>().is_some() {
        return tensor;
    }
    self::tensor(values(&tensor).to_vec(), tensor.layout().shape().clone())
}

/// Borrows the values of an [`owned`] tensor.
pub(crate) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let count = tensor.layout().num_elements();
    &mut tensor.storage_mut::<f32>()[..count]
}

/// Borrows the values of a [`dense`] tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    &tensor.storage::<f32>()[..tensor.layout().num_elements()]
}

/// Makes a tensor of these values.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Returns the dimensions of a tensor.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// Returns the size of the last dimension.
pub(crate) fn width(tensor: &FlexTensor) -> usize {
    let shape = tensor.layout().shape();
    shape[shape.num_dims() - 1]
}

/// Returns how many threads to use for `count` values: one below `few`, where a second costs more than it saves.
pub(crate) fn threads(count: usize, few: usize) -> usize {
    if count < few {
        1
    } else {
        rayon::current_num_threads()
    }
}

/// Fills rows of `width` values, on all threads if there are enough; `work` gets the index of its first row and its part.
pub(crate) fn for_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    const FEW: usize = 1 << 15;
    let threads = threads(out.len(), FEW);
    if threads < 2 || width == 0 {
        return work(0, out);
    }
    let rows = (out.len() / width).div_ceil(threads).max(1);
    out.par_chunks_mut(rows * width)
        .enumerate()
        .for_each(|(part, out)| work(part * rows, out));
}

/// Changes rows of `width` values, in place if the storage is not shared; `work` is that of [`for_rows`].
pub(crate) fn change_rows(
    tensor: FlexTensor,
    width: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) -> FlexTensor {
    let mut tensor = owned(tensor);
    for_rows(values_mut(&mut tensor), width, work);
    tensor
}
