//! A language model ready to use: base, adapter, tokenizer, chat template, limits, precision and devices, in one place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::Device;
use bytesize::ByteSize;

use crate::files::{self, Checkpoint, Precision};
use crate::nn::{Decoder, DecoderConfig};
use crate::parallel::{Devices, Replicas};
use crate::progress::Job;
use crate::text::{
    ChatFormat, DraftModel, GenerateConfig, Prompt, Reply, Requirements, Token, Tokenizer, Work,
    generate, response_logprobs,
};
use crate::{Error, Result, kernels, memory};

/// What makes an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The base model.
    pub checkpoint: Checkpoint,
    /// The folder of a PEFT adapter for it.
    pub adapter: Option<PathBuf>,
    /// How the weights are kept.
    pub precision: Precision,
    /// What the engine will do, which decides how the weights lie in memory and what is estimated.
    pub work: Work,
}

impl EngineConfig {
    /// A checkpoint as it is, in f32.
    pub fn new(checkpoint: Checkpoint, work: Work) -> Self {
        Self {
            checkpoint,
            adapter: None,
            precision: Precision::default(),
            work,
        }
    }

    /// The same with an adapter, if there is one.
    pub fn with_adapter(mut self, adapter: Option<&Path>) -> Self {
        self.adapter = adapter.map(Path::to_path_buf);
        self
    }

    /// The same with weights kept in another way.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Tells what the work needs in memory beside what is free, where that is worth a line; what cannot fit on a CPU is an
    /// error. How much a graphics card has free is not known.
    ///
    /// - judges: bytes of judges that are loaded beside the model
    pub fn announce(&self, purpose: &str, judges: u64, device: &Device, job: &Job) -> Result<()> {
        /// Every machine has so much, so it is not worth a line.
        const WORTH_A_LINE: u64 = 1 << 29;
        let (is_cpu, free) = (kernels::is_cpu(device), memory::available());
        let mut needs = self.requirements(is_cpu.then_some(free))?;
        needs.judges = judges;
        let name = self.checkpoint.name();
        if needs.total() >= WORTH_A_LINE {
            let free = match is_cpu {
                true => format!("{} are free", ByteSize(free)),
                false => "how much the device has free is not known".to_string(),
            };
            let note = format!("{name} needs {needs} {purpose}; {free}");
            job.progress.note(&note);
        }
        if is_cpu {
            needs.check(&name, free)?;
        }
        Ok(())
    }

    /// What the work needs in memory, of which `free` bytes are left on a CPU.
    ///
    /// Training computes activations anew where they would take more than half of that, and replies are drafted where a
    /// draft takes less than half.
    pub fn requirements(&self, free: Option<u64>) -> Result<Requirements> {
        let config = files::read_decoder_config(&self.checkpoint)?;
        files::check_decoder_size(&self.checkpoint, &config)?;
        let mut needs = Requirements::of(&config, self.precision, &self.work);
        // What the files hold counts: a checkpoint may be in four bits already.
        let sizes = files::weight_sizes(&self.checkpoint, self.precision)?;
        needs.weights = sizes.total + sizes.largest / 2;
        let Some(free) = free else {
            return Ok(needs);
        };
        let half = free / 2;
        let in_f32 = sizes.total >= 4 * sizes.resident;
        match &self.work {
            Work::Train {
                rank,
                factor_bytes,
                batch_size,
                seq,
                gradient_checkpointing: false,
            } if needs.activations > half || sizes.in_four_bits => {
                let anew = Work::Train {
                    rank: *rank,
                    factor_bytes: *factor_bytes,
                    batch_size: *batch_size,
                    seq: *seq,
                    gradient_checkpointing: true,
                };
                let precision = match sizes.in_four_bits {
                    true => self.precision.in_nf4(),
                    false => self.precision,
                };
                needs.activations = Requirements::of(&config, precision, &anew).activations;
            }
            Work::Reply { new_tokens, .. }
                if in_f32
                    && *new_tokens >= DraftModel::LEAST_TOKENS
                    && DraftModel::is_worth(sizes.resident, half) =>
            {
                needs.draft = 2 * sizes.resident;
            }
            _ => {}
        }
        Ok(needs)
    }
}

/// A language model ready to use.
///
/// Opening it reads the small files, so that what is wrong with them is told at once. The weights are read when they are
/// first needed, and [`Engine::release`] frees them until the next time.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    shape: DecoderConfig,
    devices: Devices,
    tokenizer: Tokenizer,
    format: ChatFormat,
    eos_token_ids: Vec<i32>,
    loaded: Mutex<Option<Arc<Loaded>>>,
}

/// The weights of an [`Engine`].
#[derive(Debug)]
pub struct Loaded {
    /// The model on each device.
    pub models: Replicas<Decoder>,
    draft_model: DraftModel,
}

impl Loaded {
    /// The model on the first device.
    pub fn model(&self) -> &Decoder {
        self.models.first()
    }
}

impl Engine {
    /// Reads everything but the weights.
    ///
    /// # Errors
    ///
    /// A checkpoint or an adapter that cannot be used, and a device that does not compute in the wanted dtype.
    pub fn open(config: EngineConfig, devices: &Devices) -> Result<Self> {
        let dtype = config.precision.dtype;
        if !dtype.is_supported_by(devices.first()) {
            let reason = format!("is {}, which this device does not compute in", dtype.name());
            return Err(Error::setting("dtype", reason));
        }
        let shape = files::read_decoder_config(&config.checkpoint)?;
        files::check_weights(&config.checkpoint)?;
        if let Some(adapter) = &config.adapter {
            files::AdapterConfig::load(adapter)?;
        }
        files::check_decoder_precision(&shape, config.precision)?;
        let tokenizer = Tokenizer::load(&config.checkpoint)?.for_table(shape.vocab_size)?;
        Ok(Self {
            format: ChatFormat::load(&config.checkpoint, &tokenizer)?,
            tokenizer,
            shape,
            eos_token_ids: files::read_eos_token_ids(&config.checkpoint)?,
            devices: devices.clone(),
            config,
            loaded: Mutex::new(None),
        })
    }

    /// The base model's files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.config.checkpoint
    }

    /// How the weights are kept.
    pub fn precision(&self) -> Precision {
        self.config.precision
    }

    /// The base model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The ids at which the checkpoint says that its texts end.
    pub fn eos_token_ids(&self) -> &[i32] {
        &self.eos_token_ids
    }

    /// How the base model writes a conversation.
    pub fn format(&self) -> &ChatFormat {
        &self.format
    }

    /// The most tokens that the model takes, prompt and reply together.
    pub fn max_tokens(&self) -> usize {
        self.shape.max_position_embeddings
    }

    /// The devices that share the work.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The weights, which are read if they are not here.
    ///
    /// For replies and log-probabilities the adapter is a part of them, and nothing is on the autodiff tape. For training
    /// they are the frozen base alone.
    ///
    /// # Errors
    ///
    /// Weights that do not fit `config.json`, an adapter that does not fit the weights, and a machine that has not the
    /// memory that all this needs.
    pub fn load(&self) -> Result<Arc<Loaded>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let config = &self.config;
        let device = self.devices.first();
        if kernels::is_cpu(device) {
            // What this process has freed it keeps for the next model.
            let free = memory::available().saturating_add(memory::resident().unwrap_or(0));
            let needs = config.requirements(Some(free))?;
            needs.check(&config.checkpoint.name(), free)?;
        }
        let mut model = files::load_decoder(&config.checkpoint, config.precision, device)?;
        if !config.work.is_training() {
            if let Some(adapter) = &config.adapter {
                files::load_adapter(&mut model, adapter, device)?;
                model.merge_lora();
                model = model.valid();
            }
            if let Work::Sample { .. } = config.work {
                model.keep_in_panels();
            }
        }
        let draft_model = match config.work {
            Work::Reply { new_tokens, .. } if new_tokens >= DraftModel::LEAST_TOKENS => {
                DraftModel::of(&model)
            }
            _ => DraftModel::none(),
        };
        let read = Arc::new(Loaded {
            models: Replicas::new(model, &self.devices),
            draft_model,
        });
        *loaded = Some(read.clone());
        Ok(read)
    }

    /// Frees the weights until they are needed again.
    pub fn release(&self) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Replies to all prompts, in the order of prompts and seeds; see [`generate`].
    pub fn generate(
        &self,
        prompts: &[Prompt],
        config: &GenerateConfig,
        job: &Job,
        on_token: &mut dyn FnMut(usize, &Token),
    ) -> Result<Vec<Reply>> {
        for prompt in prompts {
            self.check_ids(&prompt.ids)?;
        }
        let loaded = self.load()?;
        let (model, draft_model) = (loaded.model(), &loaded.draft_model);
        generate(model, draft_model, prompts, config, job, on_token)
    }

    /// The log-probability of each of a response's tokens; see [`response_logprobs`].
    ///
    /// # Panics
    ///
    /// If the prompt is empty.
    pub fn logps(&self, prompt_ids: &[i32], response_ids: &[i32]) -> Result<Vec<f32>> {
        self.check_ids(prompt_ids)?;
        self.check_ids(response_ids)?;
        let loaded = self.load()?;
        let logps = response_logprobs(loaded.model(), prompt_ids, response_ids);
        if logps.iter().any(|logp| logp.is_nan()) {
            let reason =
                "its log-probabilities are no numbers; the weights or the adapter are damaged";
            return Err(Error::invalid(self.config.checkpoint.name(), reason));
        }
        Ok(logps)
    }

    /// Refuses an id that the model's table has no row for.
    fn check_ids(&self, ids: &[i32]) -> Result<()> {
        let rows = self.shape.vocab_size;
        let is_row = |id: &i32| usize::try_from(*id).is_ok_and(|id| id < rows);
        match ids.iter().find(|id| !is_row(id)) {
            None => Ok(()),
            Some(id) => {
                let reason = format!("the model's table has {rows} rows, none for the id {id}");
                Err(Error::invalid(self.config.checkpoint.name(), reason))
            }
        }
    }
}
