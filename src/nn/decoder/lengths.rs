//! The lengths that batches are padded to.

use burn::tensor::Device;

use crate::kernels;

/// How a length is rounded up.
///
/// Away from the CPU a kernel is compiled for what its sizes can be divided by, and the fastest one is chosen by size: a
/// length that was not there before costs seconds, some more padding next to nothing. On a CPU there is nothing to compile,
/// and padding costs as much as tokens do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// Not at all.
    #[default]
    Exact,
    /// To a multiple of 32, or of 64 beyond 256.
    Bucketed,
}

impl Lengths {
    /// What suits a device.
    pub fn on(device: &Device) -> Self {
        if kernels::is_cpu(device) {
            Self::Exact
        } else {
            Self::Bucketed
        }
    }

    /// The length that `len` is padded to.
    pub fn round(self, len: usize) -> usize {
        match self {
            Self::Exact => len,
            Self::Bucketed if len <= 256 => len.next_multiple_of(32),
            Self::Bucketed => len.next_multiple_of(64),
        }
    }
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
