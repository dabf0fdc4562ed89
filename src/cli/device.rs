//! `--device`, `--dtype`.

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};

use crate::{Error, Result, hf};

/// Where tensors live.
#[derive(Args, Debug, Clone)]
pub(super) struct DeviceArgs {
    /// cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu", env = "APC_DEVICE")]
    device: String,
}

impl DeviceArgs {
    /// The device, if this build has it and the machine too.
    pub(super) fn device(&self) -> Result<Device> {
        match self.device.split_once(':').unwrap_or((&self.device, "0")) {
            ("cpu", "0") => cpu(),
            ("cuda", index) => match index.parse() {
                Ok(index) => cuda(index),
                Err(_) => Err(Error::Usage(format!(
                    "--device {}: {index} is no number",
                    self.device
                ))),
            },
            _ => Err(Error::Usage(format!(
                "--device {}: choose cpu, cuda or cuda:N",
                self.device
            ))),
        }
    }
}

/// What weights are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dtype {
    /// As exact as weights come.
    Float32,
    /// Half the memory; slow on a CPU.
    Bfloat16,
    /// Half the memory, with a small range.
    Float16,
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Float32 => Self::F32,
            Dtype::Bfloat16 => Self::BF16,
            Dtype::Float16 => Self::F16,
        }
    }
}

/// In how many bits weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Quantization {
    /// As the checkpoint has them.
    #[default]
    None,
    /// The projections in four, those of QLoRA; they are made dense whenever they are used.
    Nf4,
}

impl From<Quantization> for hf::Quantization {
    fn from(quantization: Quantization) -> Self {
        match quantization {
            Quantization::None => Self::None,
            Quantization::Nf4 => Self::Nf4,
        }
    }
}

#[cfg(feature = "flex")]
fn cpu() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn cpu() -> Result<Device> {
    Err(Error::Usage(
        "this build has no CPU backend; build with --features flex, or choose --device cuda".into(),
    ))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    use burn::tensor::DeviceType;
    // Without a driver the backend panics when it is asked for its devices.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).to_vec().len());
    std::panic::set_hook(hook);
    match found {
        Ok(count) if index < count => Ok(Device::cuda(index)),
        Ok(count) if count > 0 => Err(Error::Usage(format!(
            "--device cuda:{index}: this machine has {count} NVIDIA devices"
        ))),
        _ => Err(Error::Usage(
            "--device cuda: no NVIDIA driver or device was found; use --device cpu".into(),
        )),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(Error::Usage(
        "--device cuda: this build is for the CPU only; build with --features cuda".into(),
    ))
}
