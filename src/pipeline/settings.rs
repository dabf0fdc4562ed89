//! Settings of a run.

use std::path::PathBuf;

use crate::files::Precision;
use crate::hub::HubConfig;
use crate::nn::LoraConfig;
use crate::persona::JudgeFormat;
use crate::pipeline::dpo::DpoTraining;
use crate::pipeline::page::check_name;
use crate::teacher::chat::OpenAiConfig;
use crate::text::Work;
use crate::train::DpoConfig;
use crate::{Error, Result};

/// No count of a run is larger: what it multiplies must fit into memory.
pub const LARGEST_COUNT: usize = 1_000_000;
/// No factor is larger: a loss that it multiplies must stay finite.
pub const LARGEST_SCALE: f64 = 1e6;
/// No query gets more replies in an evaluation.
const MOST_REPLIES: usize = 10_000;

/// Which model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The caller's own, which is small.
    Tiny,
    /// gemma-1.1-2b-it.
    TwoB,
    /// gemma-1.1-7b-it.
    SevenB,
}

impl Scale {
    /// Where that model is on the hub; the caller's is not.
    pub fn repository(self) -> Option<&'static str> {
        match self {
            Self::Tiny => None,
            Self::TwoB => Some("google/gemma-1.1-2b-it"),
            Self::SevenB => Some("google/gemma-1.1-7b-it"),
        }
    }
}

/// Who writes statements, queries and the judges' data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeacherChoice {
    /// The teacher that the caller brings.
    Given,
    /// The model that answers, as a chat model.
    Local,
    /// Data that was imported from the original program.
    Imported,
    /// A chat model of that name, behind OpenAI's API.
    Chat(String),
}

/// A model that a run takes in place of the one that suits its scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// The one that the caller brings.
    Given,
    /// A folder, or a name on the hub.
    Named(PathBuf),
}

/// Which judges reward, and how they are made.
#[derive(Clone, Debug)]
pub struct JudgeSettings {
    /// The relevance judge; one that suits the scale and the page if absent.
    pub relevance: Option<ModelChoice>,
    /// The NLI judge, likewise.
    pub nli: Option<ModelChoice>,
    /// How their weights are kept.
    pub precision: Precision,
    /// A file that says how the judges are asked.
    pub templates: Option<PathBuf>,
    /// How the relevance judge is asked and answers, in place of what the file or its own files say.
    pub relevance_format: JudgeFormat,
    /// The same of the NLI judge.
    pub nli_format: JudgeFormat,
    /// The relevance judge that grades, which takes no part in the reward; one that suits the scale and the page if absent.
    pub grading_relevance: Option<ModelChoice>,
    /// The NLI judge that grades, likewise.
    pub grading_nli: Option<ModelChoice>,
    /// Whether the judges are used as they are, or fine-tuned on the teacher's data.
    pub use_pretrained: bool,
    /// Epochs of the relevance judge's fine-tuning.
    pub relevance_epochs: usize,
    /// Epochs of the NLI judge's fine-tuning.
    pub nli_epochs: usize,
}

/// Which replies are sampled.
#[derive(Clone, Debug)]
pub struct ReplySettings {
    /// Statements in the prompt.
    pub rag_top_k: usize,
    /// P(relevant) that a statement in the prompt has at least; 0 shows the most relevant ones however little they matter.
    pub min_relevance: f64,
    /// Samples of two replies to train on; where queries are fewer, each gets several, and its best reply is paired with
    /// its worst.
    pub max_dpo_data: usize,
    /// Held-out queries to evaluate with, at most.
    pub max_eval_queries: usize,
    /// Replies to each of them, before and after.
    pub eval_replies: usize,
    /// Replies are drawn from the likeliest tokens whose probabilities reach this sum.
    pub top_p: f32,
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
}

impl ReplySettings {
    /// How many samples of two replies each of `n_queries` gets.
    pub(super) fn samples_per_query(&self, n_queries: usize) -> usize {
        (self.max_dpo_data / n_queries.max(1)).max(1)
    }
}

/// Settings of a run; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The character's name.
    pub character: String,
    /// Folder of `data/{character}` and `models/{character}`.
    pub output: PathBuf,
    /// Who writes the data.
    pub teacher: TeacherChoice,
    /// Where a chat model is, and what it may cost.
    pub chat: OpenAiConfig,
    /// The most turns of the conversations in which queries are asked.
    pub turns: usize,
    /// Which model answers.
    pub prp_scale: Scale,
    /// A checkpoint in its place.
    pub model: Option<ModelChoice>,
    /// How its weights are kept.
    pub precision: Precision,
    /// Where models come from that are not folders here.
    pub hub: HubConfig,
    /// The judges.
    pub judges: JudgeSettings,
    /// The replies.
    pub replies: ReplySettings,
    /// How the adapter is trained; its seed is the run's.
    pub adapter: DpoTraining,
    /// Whether DPO computes activations anew in the backward pass even where there is memory for them.
    pub gradient_checkpointing: bool,
    /// Everything random comes from it.
    pub seed: u64,
    /// Whether to make everything again, but for what a chat model has answered.
    pub force: bool,
}

impl TrainConfig {
    /// The defaults for a character.
    pub fn new(character: &str) -> Self {
        Self {
            character: character.to_string(),
            output: PathBuf::from("."),
            teacher: TeacherChoice::Given,
            chat: OpenAiConfig::default(),
            turns: 1,
            prp_scale: Scale::Tiny,
            model: None,
            precision: Precision::default(),
            hub: HubConfig::new("models/hub"),
            judges: JudgeSettings {
                relevance: None,
                nli: None,
                precision: Precision::default(),
                templates: None,
                relevance_format: JudgeFormat::default(),
                nli_format: JudgeFormat::default(),
                grading_relevance: None,
                grading_nli: None,
                use_pretrained: true,
                relevance_epochs: 5,
                nli_epochs: 10,
            },
            replies: ReplySettings {
                rag_top_k: 5,
                min_relevance: 0.0,
                max_dpo_data: 500,
                max_eval_queries: 120,
                eval_replies: 8,
                top_p: 1.0,
                max_new_tokens: 64,
            },
            adapter: DpoTraining::new(LoraConfig::new(32, 32.0))
                .with_dpo(DpoConfig::new().with_sft_weight(1.0))
                .with_epochs(10)
                .with_batch_size(4)
                .with_learning_rate(2e-4),
            gradient_checkpointing: false,
            seed: 42,
            force: false,
        }
    }

    /// What training the adapter takes, about: prompts with their replies are seldom longer than assumed here.
    pub(super) fn training_work(&self) -> Work {
        /// Tokens of a prompt with one pair of replies, beside those that replies may have.
        const PROMPT: usize = 256;
        let adapter = &self.adapter;
        Work::Train {
            rank: adapter.lora.rank,
            factor_bytes: adapter.lora_dtype.size(),
            batch_size: adapter.batch_size,
            seq: PROMPT + 2 * self.replies.max_new_tokens,
            gradient_checkpointing: self.gradient_checkpointing,
        }
    }

    /// How the adapter is trained, with the run's seed.
    pub(super) fn training(&self) -> DpoTraining {
        self.adapter.clone().with_seed(self.seed)
    }

    /// Refuses a name that cannot be a folder's, and numbers that make no sense.
    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.character)?;
        let (judges, replies, adapter) = (&self.judges, &self.replies, &self.adapter);
        for (name, value) in [
            ("turns", self.turns),
            ("rag_top_k", replies.rag_top_k),
            ("lora_rank", adapter.lora.rank),
            ("max_dpo_data", replies.max_dpo_data),
            ("prp_dpo_epoch", adapter.epochs),
            ("batch_size", adapter.batch_size),
            ("accumulate", adapter.dpo.accumulate),
            ("max_new_tokens", replies.max_new_tokens),
            ("max_eval_queries", replies.max_eval_queries),
            ("eval_replies", replies.eval_replies),
            ("relevance_finetune_epoch", judges.relevance_epochs),
            ("nli_finetune_epoch", judges.nli_epochs),
        ] {
            require(name, value, value > 0, "at least 1")?;
            require(
                name,
                value,
                value <= LARGEST_COUNT,
                &format!("at most {LARGEST_COUNT}"),
            )?;
        }
        let turns = self.turns;
        let must_be = format!("at most {MOST_TURNS}");
        require("turns", turns, turns <= MOST_TURNS, &must_be)?;
        let each = replies.eval_replies;
        require(
            "eval_replies",
            each,
            each <= MOST_REPLIES,
            &format!("at most {MOST_REPLIES}"),
        )?;
        for (name, value) in [
            ("learning_rate", adapter.learning_rate),
            ("beta", adapter.dpo.beta),
            ("top_p", f64::from(replies.top_p)),
        ] {
            let is_share = value > 0.0 && value <= 1.0;
            require(name, value, is_share, "above 0 and at most 1")?;
        }
        let min_relevance = replies.min_relevance;
        let is_share = (0.0..=1.0).contains(&min_relevance);
        require("min_relevance", min_relevance, is_share, "from 0 to 1")?;
        let alpha = adapter.lora.alpha;
        let is_positive = alpha > 0.0 && alpha <= LARGEST_SCALE;
        require(
            "lora_alpha",
            alpha,
            is_positive,
            &format!("above 0 and at most {LARGEST_SCALE}"),
        )?;
        let weight = adapter.dpo.sft_weight;
        let is_weight = (0.0..=LARGEST_SCALE).contains(&weight);
        require(
            "sft_weight",
            weight,
            is_weight,
            &format!("at least 0 and at most {LARGEST_SCALE}"),
        )
    }
}

/// The most turns of a conversation to train on.
const MOST_TURNS: usize = 16;

fn require(
    name: &'static str,
    value: impl std::fmt::Display,
    holds: bool,
    must_be: &str,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    let reason = format!("is {value}, but must be {must_be}");
    Err(Error::Setting { name, reason })
}
