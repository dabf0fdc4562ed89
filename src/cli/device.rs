//! `--device`, `--dtype`.

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};

use crate::parallel::Devices;
use crate::{Error, Result, hf};

/// Where tensors live.
#[derive(Args, Debug, Clone)]
pub(super) struct DeviceArgs {
    /// cpu, cuda or cuda:N; several, as in cuda:0,cuda:1, share the batches of training, scoring and sampling, and the
    /// first does the rest.
    #[arg(long, default_value = "cpu", env = "APC_DEVICE", value_delimiter = ',')]
    device: Vec<String>,
}

impl DeviceArgs {
    /// The first device, for what is not shared.
    pub(super) fn device(&self) -> Result<Device> {
        Ok(self.devices()?.first().clone())
    }

    /// The devices, if this build has them and the machine too.
    pub(super) fn devices(&self) -> Result<Devices> {
        let refused =
            |reason: String| Error::Usage(format!("--device {}: {reason}", self.device.join(",")));
        let mut named = Vec::new();
        for name in &self.device {
            let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
            let index: usize = index
                .parse()
                .map_err(|_| refused(format!("{index} is no number")))?;
            if named.iter().any(|(other, _)| *other != kind) {
                return Err(refused("devices of one kind only share the work".into()));
            }
            if named.contains(&(kind, index)) {
                return Err(refused(format!("{name} is named twice")));
            }
            named.push((kind, index));
        }
        let open = |device| match device {
            ("cpu", 0) => cpu(),
            ("cuda", index) => cuda(index),
            _ => Err(refused("choose cpu, cuda or cuda:N".into())),
        };
        let devices = named.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Devices::new(devices))
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
