//! Settings of the main job.

use std::path::PathBuf;

use crate::files::Precision;
use crate::hub::HubConfig;
use crate::pipeline::page::check_name;
use crate::teacher::chat::OpenAiConfig;
use crate::{Error, Result};

/// Which Gemma answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The embedded one.
    Tiny,
    /// gemma-1.1-2b-it.
    TwoB,
    /// gemma-1.1-7b-it.
    SevenB,
}

impl Scale {
    /// Where that Gemma is on the hub; the embedded one is not.
    pub fn repository(self) -> Option<&'static str> {
        match self {
            Self::Tiny => None,
            Self::TwoB => Some("google/gemma-1.1-2b-it"),
            Self::SevenB => Some("google/gemma-1.1-7b-it"),
        }
    }
}

/// Settings of the main job; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The character's name.
    pub character: String,
    /// The page, in place of `wiki/{character}.txt`.
    pub wiki: Option<PathBuf>,
    /// Folder of `data/{character}` and `models/{character}`.
    pub output: PathBuf,
    /// Who writes statements and queries: `offline`, `local` for the Gemma itself, `imported`, or the name
    /// of a chat model.
    pub model_engine: String,
    /// Where that chat model is, and what it may cost.
    pub chat: OpenAiConfig,
    /// Which Gemma answers.
    pub prp_scale: Scale,
    /// A checkpoint in its place, a folder or a name on the hub.
    pub model: Option<PathBuf>,
    /// How its weights are kept.
    pub precision: Precision,
    /// How the judges' weights are kept.
    pub judge_precision: Precision,
    /// Where models come from that are not folders here.
    pub hub: HubConfig,
    /// The relevance judge, a folder or a name on the hub; one that suits the scale and the page if absent.
    pub relevance: Option<PathBuf>,
    /// The NLI judge, likewise.
    pub nli: Option<PathBuf>,
    /// A file that says how the judges are asked.
    pub judge_templates: Option<PathBuf>,
    /// Whether the judges are used as they are, or fine-tuned on the teacher's data.
    pub use_pretrained_discriminator: bool,
    /// Epochs of the relevance judge's fine-tuning.
    pub relevance_finetune_epoch: usize,
    /// Epochs of the NLI judge's fine-tuning.
    pub nli_finetune_epoch: usize,
    /// Statements in the prompt.
    pub rag_top_k: usize,
    /// Samples of two replies; where queries are fewer, each gets several, and its best reply is paired with its worst.
    pub max_dpo_data: usize,
    /// Epochs of DPO.
    pub prp_dpo_epoch: usize,
    /// Rank of the factors.
    pub lora_rank: usize,
    /// Numerator of their scaling; the rank if absent.
    pub lora_alpha: Option<f64>,
    /// First learning rate of DPO; it falls to zero in a line.
    pub learning_rate: f64,
    /// DPO's β.
    pub beta: f64,
    /// Weight of the chosen replies' own likelihood beside DPO's loss.
    pub sft_weight: f64,
    /// Prompts in a batch, each with all of its pairs.
    pub batch_size: usize,
    /// Batches in an optimizer step.
    pub accumulate: usize,
    /// Held-out queries to evaluate with, at most.
    pub max_eval_queries: usize,
    /// Replies to each of them, before and after.
    pub eval_replies: usize,
    /// Replies are drawn from the likeliest tokens whose probabilities reach this sum.
    pub top_p: f32,
    /// Longest reply.
    pub max_new_tokens: usize,
    /// Everything random comes from it.
    pub seed: u64,
    /// Whether DPO computes activations anew in the backward pass even where there is memory for them.
    pub gradient_checkpointing: bool,
    /// Whether to throw away what was made with other settings.
    pub force: bool,
}

impl TrainConfig {
    /// The defaults for a character.
    pub fn new(character: &str) -> Self {
        Self {
            character: character.to_string(),
            wiki: None,
            output: PathBuf::from("."),
            model_engine: "offline".to_string(),
            chat: OpenAiConfig::default(),
            prp_scale: Scale::Tiny,
            hub: HubConfig::new("models/hub"),
            model: None,
            precision: Precision::default(),
            judge_precision: Precision::default(),
            relevance: None,
            nli: None,
            judge_templates: None,
            use_pretrained_discriminator: true,
            relevance_finetune_epoch: 5,
            nli_finetune_epoch: 10,
            rag_top_k: 5,
            max_dpo_data: 500,
            prp_dpo_epoch: 10,
            lora_rank: 32,
            lora_alpha: None,
            learning_rate: 2e-4,
            beta: 0.1,
            sft_weight: 1.0,
            batch_size: 4,
            accumulate: 1,
            max_eval_queries: 120,
            eval_replies: 16,
            top_p: 1.0,
            max_new_tokens: 64,
            seed: 42,
            gradient_checkpointing: false,
            force: false,
        }
    }

    /// How many samples of two replies each of `n_queries` gets.
    pub(super) fn samples_per_query(&self, n_queries: usize) -> usize {
        (self.max_dpo_data / n_queries.max(1)).max(1)
    }

    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.character)?;
        let zero = [
            ("--rag-top-k", self.rag_top_k),
            ("--lora-rank", self.lora_rank),
            ("--max-dpo-data", self.max_dpo_data),
            ("--prp-dpo-epoch", self.prp_dpo_epoch),
            ("--batch-size", self.batch_size),
            ("--accumulate", self.accumulate),
            ("--max-new-tokens", self.max_new_tokens),
            ("--max-eval-queries", self.max_eval_queries),
            ("--eval-replies", self.eval_replies),
            ("--relevance-finetune-epoch", self.relevance_finetune_epoch),
            ("--nli-finetune-epoch", self.nli_finetune_epoch),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Usage(format!("{name} is 0, but must be at least 1")));
        }
        for (name, value) in [
            ("--learning-rate", self.learning_rate),
            ("--beta", self.beta),
            ("--top-p", f64::from(self.top_p)),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(Error::Usage(format!(
                    "{name} is {value}, but must be above 0 and at most 1"
                )));
            }
        }
        let alpha = self.lora_alpha.unwrap_or(1.0);
        if !(alpha > 0.0 && alpha.is_finite()) {
            return Err(Error::Usage(format!(
                "--lora-alpha is {alpha}, but must be above 0"
            )));
        }
        if !(self.sft_weight >= 0.0 && self.sft_weight.is_finite()) {
            return Err(Error::Usage(format!(
                "--sft-weight is {}, but must be at least 0",
                self.sft_weight
            )));
        }
        Ok(())
    }
}
