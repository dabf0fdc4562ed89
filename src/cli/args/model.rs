//! `--model`, `--adapter`, `--dtype`: a language model from any folder.

use std::path::PathBuf;

use clap::Args;

use crate::Result;
use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::hub;
use crate::files::Precision;
use crate::parallel::Devices;
use crate::progress::Job;
use crate::text::{ByteFallback, Engine, EngineConfig, Work};

#[derive(Args, Debug)]
pub(crate) struct LanguageModelArgs {
    /// A language model: its folder, its name on the Hugging Face hub, owner/name or owner/name@revision, or embedded.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A PEFT adapter for it, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl LanguageModelArgs {
    /// Loads this model for some work; prints the memory that it needs if that is much.
    pub(crate) fn engine(&self, work: Work, job: &Job) -> Result<Engine> {
        let devices = Devices::from(self.device.device(job)?);
        let find = |name: &PathBuf| hub::folder(name, job);
        let adapter = self.adapter.as_ref().map(find).transpose()?;
        let config = EngineConfig::new(hub::checkpoint(&self.model, job)?, work)
            .with_adapter(adapter.as_deref())
            .with_precision(self.precision.precision(Precision::default()));
        config.announce("for this", 0, devices.first(), job)?;
        Engine::open(config, &devices)
    }
}

#[derive(Args, Debug)]
pub(crate) struct TokenizerArgs {
    /// Encode characters that spm.model does not know as bytes, as SentencePiece does; the default is [UNK].
    #[arg(long)]
    byte_fallback: bool,
}

impl TokenizerArgs {
    pub(crate) fn byte_fallback(&self) -> ByteFallback {
        if self.byte_fallback {
            ByteFallback::Bytes
        } else {
            ByteFallback::Unknown
        }
    }
}
