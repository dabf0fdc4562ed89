//! Batches of token ids: the lengths they are padded to, and their tensor.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::kernels;

/// How the length of a batch is rounded up.
///
/// On a GPU, kernels are compiled for what their sizes can be divided by and the fastest one is chosen by size: a length
/// that is new costs seconds, more padding next to nothing. On a CPU nothing is compiled, and padding costs as much as
/// tokens do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// Not rounded.
    #[default]
    Exact,
    /// To a multiple of 32, or of 64 beyond 256.
    Bucketed,
}

impl Lengths {
    /// Returns what suits a device.
    pub fn on(device: &Device) -> Self {
        if kernels::is_cpu(device) {
            Self::Exact
        } else {
            Self::Bucketed
        }
    }

    /// Returns the length that `len` tokens are padded to.
    pub fn round(self, len: usize) -> usize {
        match self {
            Self::Exact => len,
            Self::Bucketed if len <= 256 => len.next_multiple_of(32),
            Self::Bucketed => len.next_multiple_of(64),
        }
    }
}

/// Makes a tensor `[batch, seq]` of rows of equal length.
///
/// # Panics
///
/// Panics if the rows differ in length.
pub(crate) fn ids_tensor(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    let seq = rows.first().map_or(0, Vec::len);
    assert!(
        rows.iter().all(|row| row.len() == seq),
        "rows of token ids differ in length: pad them to one length first"
    );
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), seq]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_few_away_from_the_cpu() {
        let rounded = [0, 1, 32, 33, 256, 257, 320, 321].map(|len| Lengths::Bucketed.round(len));
        assert_eq!(rounded, [0, 32, 32, 64, 256, 320, 320, 384]);
        assert_eq!(Lengths::Exact.round(33), 33);
    }
}
