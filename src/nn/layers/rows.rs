//! A table whose rows stay where they are, on a disk, and are read as they are needed.

use std::fmt::Debug;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Where the rows of a table are.
pub trait RowSource: Debug + Send + Sync {
    /// Copies the rows at some indices, one after the other, in f32.
    ///
    /// # Panics
    ///
    /// Panics if they can no longer be read.
    fn rows(&self, indices: &[usize]) -> Vec<f32>;
}

/// A frozen table of which only the rows in use are in memory.
#[derive(Clone, Debug)]
pub(crate) struct StoredRows {
    source: Arc<dyn RowSource>,
    shape: [usize; 2],
    dtype: DType,
    device: Device,
}

/// The same as a part of a module.
#[derive(Module, Debug)]
pub(crate) struct StoredTable {
    #[module(skip)]
    rows: StoredRows,
}

impl StoredTable {
    pub(crate) fn new(rows: StoredRows) -> Self {
        Self { rows }
    }

    pub(crate) fn rows(&self) -> &StoredRows {
        &self.rows
    }
}

impl StoredRows {
    pub(crate) fn new(
        source: Arc<dyn RowSource>,
        shape: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> Self {
        Self {
            source,
            shape,
            dtype,
            device: device.clone(),
        }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    fn read(&self, indices: &[usize], device: &Device) -> Tensor<2> {
        let [_, columns] = self.shape;
        let values = TensorData::new(self.source.rows(indices), [indices.len(), columns]);
        Tensor::from_data(values, (device, self.dtype))
    }

    /// Reads all rows.
    pub(crate) fn whole(&self) -> Tensor<2> {
        let [rows, _] = self.shape;
        self.read(&(0..rows).collect::<Vec<usize>>(), &self.device)
    }

    /// Reads the rows at some indices, `[n]`.
    pub(crate) fn rows(&self, indices: Tensor<1, Int>) -> Tensor<2> {
        let device = indices.device();
        let indices = indices.into_data();
        let indices: Vec<usize> = indices.iter::<i64>().map(|index| index as usize).collect();
        self.read(&indices, &device)
    }
}
