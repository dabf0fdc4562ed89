//! The models against what transformers, PEFT and torch make of the same files (`tests/golden/README.md`).

mod adapter;
mod classifier;
mod compressed;
mod decoder;
mod dpo;
mod files;
mod merge;
mod nf4;
mod refused;
mod spm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use safetensors::{Dtype, SafeTensors};

/// How far a value may be off. Of logits up to 2 the largest difference was 3.1e-6, and `make.py` found torch's own
/// float32 and float64 to differ by 2e-5 at most; the rest of the room is for another order of summation.
const TOLERANCE: f64 = 1e-5;

/// How far torch's own float32 and float64 may be apart where the fixtures are made.
const NOISE: f64 = 2e-5;

/// The same for gradients, as a part of the tensor's largest one, because some tensors' are all below 1e-2; the largest
/// difference was 5.8e-6 of it, but 4.8e-5 where layers share keys, where torch's own float32 is off by as much.
const GRADIENT: f64 = 1e-4;

/// The same for a value after one step of AdamW, which is tight enough to see that weight decay is there: it moves a
/// weight by 1e-5 of itself in DeBERTa. The largest difference was 3e-7.
const STEP: f64 = 2e-6;

/// AdamW's first step is `lr · g / (|g| + eps)`: below this, the rounding of a gradient `g` shows in it, and [`LOOSE`]
/// holds. A gradient that is exactly zero moves nothing.
const SMALL: f64 = 1e-4;

/// How far the step of a [`SMALL`] gradient may be off; the largest difference was 2.6e-5.
const LOOSE: f64 = 1e-4;

/// The folder of a fixture.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The golden tensors of one file.
struct Golden {
    file: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    fn open(name: &str, file: &str) -> Self {
        let file = folder(name).join(file);
        let bytes = std::fs::read(&file).expect("the fixture is there");
        let found = SafeTensors::deserialize(&bytes).expect("the fixture is whole");
        let tensors = found.tensors().into_iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => numbers(view.data(), |bytes| f32::from_le_bytes(bytes).into()),
                Dtype::I64 => numbers(view.data(), |bytes| i64::from_le_bytes(bytes) as f64),
                dtype => panic!("{name} is {dtype:?}"),
            };
            (name, (view.shape().to_vec(), values))
        });
        Self {
            tensors: tensors.collect(),
            file,
        }
    }

    fn values(&self, name: &str) -> &[f64] {
        &self.tensor(name).1
    }

    /// The rows of a matrix of ids.
    fn rows(&self, name: &str) -> Vec<Vec<i32>> {
        let (shape, values) = self.tensor(name);
        let columns = *shape.last().expect("ids are no scalar");
        let row = |row: &[f64]| row.iter().map(|&id| id as i32).collect();
        values.chunks(columns).map(row).collect()
    }

    /// The names behind `prefix`.
    fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors
            .keys()
            .filter_map(move |name| name.strip_prefix(prefix))
    }

    /// Fails unless each value is within `tolerance` of the golden one.
    fn assert(&self, name: &str, got: &[f64], tolerance: f64) {
        let what = format!("{} {name}", self.file.display());
        assert_close(&what, got, self.values(name), tolerance);
    }

    /// Fails unless each value is within [`GRADIENT`] of the largest golden one, and within [`NOISE`].
    fn assert_gradient(&self, name: &str, got: &[f64]) {
        let tolerance = NOISE.min(GRADIENT * largest(self.values(name)));
        self.assert(name, got, tolerance);
    }

    /// Fails unless each value of `adamw.NAME` is within [`STEP`], or [`LOOSE`] if its gradient is [`SMALL`].
    fn assert_step(&self, name: &str, got: &[f64]) {
        let step = format!("adamw.{name}");
        self.assert(&step, got, LOOSE);
        let gradient = self.values(&format!("grad.{name}"));
        let clear = |values: &[f64]| -> Vec<f64> {
            let values = values.iter().zip(gradient);
            let clear = values.filter(|(_, gradient)| **gradient == 0.0 || gradient.abs() > SMALL);
            clear.map(|(&value, _)| value).collect()
        };
        assert_close(&step, &clear(got), &clear(self.values(&step)), STEP);
    }

    fn tensor(&self, name: &str) -> &(Vec<usize>, Vec<f64>) {
        let tensor = self.tensors.get(name);
        tensor.unwrap_or_else(|| panic!("{} has no {name}", self.file.display()))
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|&value| number(value)).collect()
}

/// A tensor's values.
fn values(data: TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// Fails unless each value is within `tolerance` of the golden one.
fn assert_close(what: &str, got: &[f64], golden: &[f64], tolerance: f64) {
    assert_eq!(got.len(), golden.len(), "{what}: number of values");
    let off = got
        .iter()
        .zip(golden)
        .map(|(got, golden)| (got - golden).abs());
    // NaN must fail too, which f64::max would leave out.
    let off = off.fold(0.0, |most: f64, off| if off <= most { most } else { off });
    assert!(
        off <= tolerance,
        "{what}: off by {off:.1e}, more than {tolerance:.0e}"
    );
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

fn device() -> Device {
    Device::flex()
}
