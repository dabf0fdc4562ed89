//! `--device`, `--dtype`, `--quantization`.

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::files::{self, Precision};
use crate::parallel::Devices;
use crate::progress::Job;
use crate::{Error, Result};

/// Where tensors live.
#[derive(Args, Debug, Clone)]
pub(crate) struct DeviceArgs {
    /// cpu, cuda, cuda:N, vulkan or vulkan:N; several, as in cuda:0,cuda:1, share the batches of training, scoring and
    /// sampling, and the first does the rest.
    #[arg(long, default_value = "cpu", env = "APC_DEVICE", value_delimiter = ',')]
    device: Vec<String>,
}

impl DeviceArgs {
    /// Returns the first device, for work that is not shared.
    pub(crate) fn device(&self, job: &Job) -> Result<Device> {
        Ok(self.devices(job)?.first().clone())
    }

    /// Returns the devices, if this build supports them and the machine has them.
    pub(crate) fn devices(&self, job: &Job) -> Result<Devices> {
        let refused =
            |reason: String| Error::Usage(format!("--device {}: {reason}", self.device.join(",")));
        let mut named = Vec::new();
        for name in &self.device {
            let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
            let index: usize = index
                .parse()
                .map_err(|_| refused(format!("{index} is no number")))?;
            if named.iter().any(|(other, _)| *other != kind) {
                return Err(refused("all devices must be of one kind".into()));
            }
            if named.contains(&(kind, index)) {
                return Err(refused(format!("{name} is named twice")));
            }
            named.push((kind, index));
        }
        let open = |device| match device {
            ("cpu", 0) => cpu(),
            ("cuda", index) => cuda(index, job).map_err(refused),
            ("vulkan", index) => vulkan(index, job).map_err(refused),
            _ => Err(refused(
                "choose cpu, cuda, cuda:N, vulkan or vulkan:N".into(),
            )),
        };
        let devices = named.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Devices::new(devices))
    }
}

/// What weights are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// As exact as weights come.
    Float32,
    /// Half the memory; slow on a CPU.
    Bfloat16,
    /// Half the memory, with a small range.
    Float16,
}

impl From<Dtype> for files::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Float32 => Self::Float32,
            Dtype::Bfloat16 => Self::Bfloat16,
            Dtype::Float16 => Self::Float16,
        }
    }
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        files::Dtype::from(dtype).into()
    }
}

/// Returns the dtype, if the device supports it.
pub(crate) fn supported(dtype: Dtype, device: &Device) -> Result<files::Dtype> {
    let dtype = files::Dtype::from(dtype);
    if dtype.is_supported_by(device) {
        return Ok(dtype);
    }
    let reason = format!(
        "is {}, which this device does not support; choose float32",
        dtype.name()
    );
    Err(Error::setting("dtype", reason))
}

/// How a language model's weights are kept.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PrecisionArgs {
    /// What the weights are kept in; norms, attention weights and adapters are computed in float32 all the same
    /// [default: float32; bfloat16 for other models than the embedded one on a graphics card].
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// In how many bits the projections are kept [default: none; nf4 where --prp-scale is 2b or 7b].
    #[arg(long, value_enum)]
    quantization: Option<Quantization>,
    /// In how many bits embeddings and head are kept [default: int8 where the projections are in nf4 and the vocabulary has
    /// 100,000 tokens or more, else none].
    #[arg(long, value_enum)]
    quantize_embeddings: Option<EmbeddingQuantization>,
}

impl PrecisionArgs {
    /// What was asked for, and `default` for the rest.
    pub(crate) fn precision(self, default: Precision) -> Precision {
        Precision {
            dtype: self.dtype.map_or(default.dtype, Into::into),
            quantization: self.quantization.map_or(default.quantization, Into::into),
            embeddings: self
                .quantize_embeddings
                .map_or(default.embeddings, Into::into),
        }
    }
}

/// In how many bits embeddings and head are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EmbeddingQuantization {
    /// As the checkpoint has them.
    None,
    /// In eight, with a scale for each token.
    Int8,
    /// In four, as the projections may be.
    Nf4,
}

impl From<EmbeddingQuantization> for files::EmbeddingQuantization {
    fn from(quantization: EmbeddingQuantization) -> Self {
        match quantization {
            EmbeddingQuantization::None => Self::None,
            EmbeddingQuantization::Int8 => Self::Int8,
            EmbeddingQuantization::Nf4 => Self::Nf4,
        }
    }
}

/// How the weights of local judges are kept.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JudgePrecisionArgs {
    /// What the weights of judges are kept in [default: float32, or what the character was trained with].
    #[arg(long, value_enum)]
    judge_dtype: Option<Dtype>,
    /// In how many bits the projections of judges are kept [default: none, or what the character was trained with].
    #[arg(long, value_enum)]
    judge_quantization: Option<Quantization>,
}

impl JudgePrecisionArgs {
    /// What was asked for, and `default` for the rest.
    pub(crate) fn precision(self, default: Precision) -> Precision {
        PrecisionArgs {
            dtype: self.judge_dtype,
            quantization: self.judge_quantization,
            quantize_embeddings: None,
        }
        .precision(default)
    }
}

/// In how many bits weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quantization {
    /// As the checkpoint has them.
    #[default]
    None,
    /// The projections in four, those of QLoRA; they are made dense whenever they are used.
    Nf4,
}

impl From<Quantization> for files::Quantization {
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
        "this build has no CPU backend; build with --features flex, or choose another --device"
            .into(),
    ))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize, job: &Job) -> Found {
    found(burn::tensor::DeviceType::Cuda, "NVIDIA", index, job)
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize, _job: &Job) -> Found {
    Err("this build has no CUDA backend; build with --features cuda".into())
}

#[cfg(feature = "vulkan")]
fn vulkan(index: usize, job: &Job) -> Found {
    found(burn::tensor::DeviceType::Vulkan, "Vulkan", index, job)
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(_index: usize, _job: &Job) -> Found {
    Err("this build has no Vulkan backend; build with --features vulkan".into())
}

/// Parses and opens a device, or says why it cannot be used.
type Found = std::result::Result<Device, String>;

/// Returns the device with an index among those of its kind.
#[cfg(any(feature = "cuda", feature = "vulkan"))]
fn found(kind: burn::tensor::DeviceType, name: &str, index: usize, job: &Job) -> Found {
    crate::cli::kernels::keep(job);
    // Without a driver the backend panics when its devices are listed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let devices = std::panic::catch_unwind(|| Device::enumerate(kind).to_vec());
    std::panic::set_hook(hook);
    let devices = devices.unwrap_or_default();
    match devices.get(index) {
        Some(device) => Ok(device.clone()),
        None if devices.is_empty() => Err(format!(
            "no {name} driver or device was found; use --device cpu"
        )),
        None => Err(format!("this machine has {} {name} devices", devices.len())),
    }
}
