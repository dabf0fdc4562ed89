//! `--model`, `--adapter`, `--dtype`: a Gemma from any folder.

use std::path::PathBuf;

use burn::module::Module;
use clap::Args;

use crate::cli::args::device::{DeviceArgs, Dtype, Quantization};
use crate::cli::args::hub;
use crate::nn::Gemma;
use crate::progress::Job;
use crate::text::{ByteFallback, Tokenizer};
use crate::{Result, files};

#[derive(Args, Debug)]
pub(crate) struct GemmaArgs {
    /// A Gemma: its folder, or its name on the Hugging Face hub, owner/name or owner/name@revision.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A PEFT adapter for it, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// What the weights are kept in; norms, attention weights and adapters are computed in float32 all the same.
    #[arg(long, value_enum, default_value = "float32")]
    dtype: Dtype,
    /// In how many bits the weights are kept.
    #[arg(long, value_enum, default_value = "none")]
    quantization: Quantization,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A Gemma that only answers, with its tokenizer.
pub(crate) struct Checkpoint {
    /// Its folder, here or in the hub's cache.
    pub(crate) folder: PathBuf,
    pub(crate) model: Gemma,
    pub(crate) tokenizer: Tokenizer,
    /// The longest sequence it was made for.
    pub(crate) max_tokens: usize,
}

impl GemmaArgs {
    pub(crate) fn load(&self, job: &Job) -> Result<Checkpoint> {
        let device = self.device.device(job)?;
        let dtype = self.dtype.on(&device)?;
        let folder = hub::folder(&self.model, job)?;
        let max_tokens = files::read_gemma_config(&folder)?.max_position_embeddings;
        let tokenizer = Tokenizer::load(&folder)?;
        let quantization = self.quantization.into();
        let mut model = files::load_quantized_gemma(&folder, quantization, dtype, &device)?;
        if let Some(adapter) = &self.adapter {
            files::load_adapter(&mut model, &hub::folder(adapter, job)?, &device)?;
            model.merge_lora();
            model = model.valid();
        }
        Ok(Checkpoint {
            folder,
            model,
            tokenizer,
            max_tokens,
        })
    }
}

#[derive(Args, Debug)]
pub(crate) struct TokenizerArgs {
    /// Turn characters that spm.model does not know into their bytes, as SentencePiece does; else they are [UNK].
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
