//! `apc train`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use clap::{Args, Parser, ValueEnum};

use crate::cli::args::chat_model::ChatModelArgs;
use crate::cli::args::device::{DeviceArgs, JudgePrecisionArgs, PrecisionArgs};
use crate::cli::args::hub;
use crate::cli::args::judges::{JudgeFormatArgs, tell_language};
use crate::cli::args::prompt::PromptArgs;
use crate::cli::next::{command, elsewhere};
use crate::cli::output::{Format, print, print_json};
use crate::cli::recorded::Recorded;
use crate::cli::{Train, embedded, input};
use crate::files::{Checkpoint, Dtype, Precision};
use crate::nn::LoraConfig;
use crate::parallel::is_cpu;
use crate::persona::JudgeTask;
use crate::pipeline::{
    DpoTraining, JudgeSettings, ModelChoice, Page, ReplySettings, Scale, TeacherChoice,
    TrainConfig, TrainSummary, check_name, find_page, plan, teach, train,
};
use crate::progress::Job;
use crate::{Error, Result};

/// The library's defaults, which are the command line's, too.
fn defaults() -> TrainConfig {
    TrainConfig::new("")
}

/// Arguments of the main job; flags of the original program keep their names.
#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct TrainArgs {
    /// Whose page to read: wiki/NAME.txt, .md, or a character card as .json, .png or .yaml; wiki_NAME and NAME_wiki are found, too.
    #[arg(long, value_name = "NAME")]
    character: String,
    /// Read this page instead.
    #[arg(long, value_name = "PATH")]
    wiki: Option<PathBuf>,
    /// Where data/NAME and models/NAME are made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Who writes statements and queries: offline, local for the model itself, imported for what apc import took over, or
    /// the name of a chat model, whose key is in OPENAI_API_KEY.
    #[arg(long, value_name = "NAME", default_value = "offline")]
    model_engine: String,
    /// Ask queries in conversations of up to so many turns, which the teacher joins; 1 asks each alone.
    #[arg(long, value_name = "N", default_value_t = defaults().turns)]
    turns: usize,
    #[command(flatten)]
    chat: ChatModelArgs,
    /// Print the estimated number of requests and tokens, and exit.
    #[arg(long, conflicts_with = "data_only")]
    dry_run: bool,
    /// Stop after the stages that need the teacher.
    #[arg(long)]
    data_only: bool,
    /// Which Gemma answers: the embedded one, or Gemma 1.1 in one of its sizes; --model names any other model.
    #[arg(long, value_enum, default_value = "tiny")]
    prp_scale: ScaleArg,
    /// Another model answers, of those that apc models lists or one like them: a folder, a name on the Hugging Face hub, or embedded.
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// A relevance judge: a folder, a name on the hub, or embedded [default: the embedded one; with 2b or 7b the original's].
    #[arg(long, value_name = "DIR|NAME")]
    relevance: Option<PathBuf>,
    /// An NLI judge, likewise.
    #[arg(long, value_name = "DIR|NAME")]
    nli: Option<PathBuf>,
    #[command(flatten)]
    judge_precision: JudgePrecisionArgs,
    #[command(flatten)]
    judge_format: JudgeFormatArgs,
    /// The relevance judge that grades, and takes no part in the reward: a folder, a name on the hub, or embedded [default:
    /// the embedded one for grading; with 2b or 7b a public one].
    #[arg(long, value_name = "DIR|NAME")]
    grading_relevance: Option<PathBuf>,
    /// The NLI judge that grades, likewise.
    #[arg(long, value_name = "DIR|NAME")]
    grading_nli: Option<PathBuf>,
    /// Use the judges as they are (true), or fine-tune them on the teacher's data first (false).
    #[arg(long, value_name = "BOOL", default_value_t = defaults().judges.use_pretrained, action = clap::ArgAction::Set)]
    use_pretrained_discriminator: bool,
    /// Epochs of the relevance judge's fine-tuning.
    #[arg(long, value_name = "N", default_value_t = defaults().judges.relevance_epochs)]
    relevance_finetune_epoch: usize,
    /// Epochs of the NLI judge's fine-tuning.
    #[arg(long, value_name = "N", default_value_t = defaults().judges.nli_epochs)]
    nli_finetune_epoch: usize,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Number of preference pairs to sample, two replies each; if there are fewer queries, each gets several pairs.
    #[arg(long, value_name = "N", default_value_t = defaults().replies.max_dpo_data)]
    max_dpo_data: usize,
    /// Epochs of DPO.
    #[arg(long, value_name = "N", default_value_t = defaults().adapter.epochs)]
    prp_dpo_epoch: usize,
    /// Rank of the LoRA factors.
    #[arg(long, value_name = "N", default_value_t = defaults().adapter.lora.rank)]
    lora_rank: usize,
    /// Numerator of the LoRA scaling [default: the rank].
    #[arg(long, value_name = "X")]
    lora_alpha: Option<f64>,
    /// First learning rate of DPO; it falls to zero linearly.
    #[arg(long, value_name = "X", default_value_t = defaults().adapter.learning_rate)]
    learning_rate: f64,
    /// How strongly DPO holds the policy to the reference.
    #[arg(long, value_name = "X", default_value_t = defaults().adapter.dpo.beta)]
    beta: f64,
    /// Weight of the chosen replies' own likelihood beside DPO's loss; 0 is DPO alone.
    #[arg(long, value_name = "X", default_value_t = defaults().adapter.dpo.sft_weight)]
    sft_weight: f64,
    /// Prompts in a batch, each with all of its pairs.
    #[arg(long, value_name = "N", default_value_t = defaults().adapter.batch_size)]
    batch_size: usize,
    /// Batches in an optimizer step.
    #[arg(long, value_name = "N", default_value_t = defaults().adapter.dpo.accumulate)]
    accumulate: usize,
    /// Held-out queries to evaluate with, at most.
    #[arg(long, value_name = "N", default_value_t = defaults().replies.max_eval_queries)]
    max_eval_queries: usize,
    /// Replies to each of them, before and after.
    #[arg(long, value_name = "N", default_value_t = defaults().replies.eval_replies)]
    eval_replies: usize,
    /// Draw replies from the likeliest tokens whose probabilities reach this sum; 1 is the model's own distribution.
    #[arg(long, value_name = "X", default_value_t = defaults().replies.top_p)]
    top_p: f32,
    /// Longest reply, in tokens.
    #[arg(long, value_name = "N", default_value_t = defaults().replies.max_new_tokens)]
    max_new_tokens: usize,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    /// Recompute activations in DPO's backward pass: slower, less memory. Without the flag it is used only for a 4-bit base
    /// and if the CPU's memory would not suffice.
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Run every stage again; a chat model's stored answers are reused.
    #[arg(long)]
    force: bool,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScaleArg {
    Tiny,
    #[value(name = "2b")]
    TwoB,
    #[value(name = "7b")]
    SevenB,
}

/// The embedded model by its name, or another.
fn choice(name: Option<&Path>) -> Option<ModelChoice> {
    name.map(|name| match name.to_str() {
        Some(hub::EMBEDDED) => ModelChoice::Given,
        _ => ModelChoice::Named(name.to_path_buf()),
    })
}

impl TrainArgs {
    /// Whether the embedded Gemma answers.
    fn is_embedded(&self) -> bool {
        match &self.model {
            None => self.prp_scale == ScaleArg::Tiny,
            Some(name) => name == Path::new(hub::EMBEDDED),
        }
    }

    /// Whether a judge is the embedded one, which was named or is taken because none was.
    fn is_embedded_judge(&self, given: &Option<PathBuf>) -> bool {
        match given {
            None => self.prp_scale == ScaleArg::Tiny,
            Some(name) => matches!(hub::embedded(name), Ok(Some(_))),
        }
    }

    /// Whether the embedded relevance judge, as it is, retrieves for the embedded Gemma.
    fn is_calibrated(&self) -> bool {
        let is_as_it_is = self.use_pretrained_discriminator;
        is_as_it_is && self.is_embedded() && self.is_embedded_judge(&self.relevance)
    }

    /// The default precision of the model that answers: four bits for a large one, as in the original.
    fn suited(&self, device: &Device) -> Precision {
        let scale = self.model.is_none() && self.prp_scale != ScaleArg::Tiny;
        let dtype = if self.is_embedded() || is_cpu(device) {
            Dtype::Float32
        } else {
            Dtype::Bfloat16
        };
        let precision = Precision::from(dtype);
        if scale { precision.in_nf4() } else { precision }
    }

    fn teacher(&self) -> TeacherChoice {
        match self.model_engine.as_str() {
            "offline" => TeacherChoice::Given,
            "local" => TeacherChoice::Local,
            "imported" => TeacherChoice::Imported,
            name => TeacherChoice::Chat(name.to_string()),
        }
    }

    fn config(&self, device: &Device) -> Result<TrainConfig> {
        let alpha = self.lora_alpha.unwrap_or(self.lora_rank as f64);
        let defaults = defaults();
        Ok(TrainConfig {
            character: self.character.clone(),
            output: self.output.clone(),
            teacher: self.teacher(),
            chat: self.chat.config(),
            turns: self.turns,
            prp_scale: match self.prp_scale {
                ScaleArg::Tiny => Scale::Tiny,
                ScaleArg::TwoB => Scale::TwoB,
                ScaleArg::SevenB => Scale::SevenB,
            },
            model: choice(self.model.as_deref()),
            precision: self.precision.precision(self.suited(device)),
            hub: hub::config(),
            judges: JudgeSettings {
                relevance: choice(self.relevance.as_deref()),
                nli: choice(self.nli.as_deref()),
                templates: self.judge_format.judge_templates.clone(),
                relevance_format: self.judge_format.format(JudgeTask::Relevance)?,
                nli_format: self.judge_format.format(JudgeTask::Nli)?,
                grading_relevance: choice(self.grading_relevance.as_deref()),
                grading_nli: choice(self.grading_nli.as_deref()),
                precision: self.judge_precision.precision(Precision::default()),
                use_pretrained: self.use_pretrained_discriminator,
                relevance_epochs: self.relevance_finetune_epoch,
                nli_epochs: self.nli_finetune_epoch,
            },
            replies: ReplySettings {
                rag_top_k: self.prompt.rag_top_k(None, self.is_embedded()),
                max_dpo_data: self.max_dpo_data,
                max_eval_queries: self.max_eval_queries,
                eval_replies: self.eval_replies,
                min_relevance: self.prompt.min_relevance(None, self.is_calibrated()),
                top_p: self.top_p,
                max_new_tokens: self.max_new_tokens,
            },
            adapter: DpoTraining {
                lora: LoraConfig::new(self.lora_rank, alpha),
                dpo: defaults
                    .adapter
                    .dpo
                    .clone()
                    .with_beta(self.beta)
                    .with_sft_weight(self.sft_weight)
                    .with_accumulate(self.accumulate),
                epochs: self.prp_dpo_epoch,
                batch_size: self.batch_size,
                learning_rate: self.learning_rate,
                ..defaults.adapter
            },
            gradient_checkpointing: self.gradient_checkpointing,
            seed: self.seed,
            force: self.force,
        })
    }

    /// Finds the page that was named, or the character's own; imported data needs no page.
    fn page(&self, job: &Job) -> Result<Option<Page>> {
        let page = match &self.wiki {
            _ if self.teacher() == TeacherChoice::Imported => return Ok(None),
            Some(path) => Page::of(path, input::read_bytes(path, job)?, &self.character),
            None => {
                check_name(&self.character)?;
                embedded::page(&self.character).map_err(|error| match error {
                    Error::Setting { name, reason } => {
                        Error::setting(name, format!("{reason}; --wiki PATH names another"))
                    }
                    other => other,
                })
            }
        };
        page.map(Some)
    }

    /// Tells of embedded judges that cannot read the page.
    fn tell_language(&self, page: &Page, job: &Job) {
        let flags = [
            ("`relevance`", &self.relevance),
            ("`nli`", &self.nli),
            ("`grading_relevance`", &self.grading_relevance),
            ("`grading_nli`", &self.grading_nli),
        ];
        let embedded: Vec<&str> = flags
            .into_iter()
            .filter(|(_, given)| self.is_embedded_judge(given))
            .map(|(flag, _)| flag)
            .collect();
        // The built-in rules refuse such a page themselves.
        let is_read = self.teacher() != TeacherChoice::Given;
        if is_read && !self.dry_run && !self.data_only && !embedded.is_empty() {
            tell_language([page.text()], &embedded.join(", "), job);
        }
    }

    /// - arguments: what stood behind `train`
    pub(crate) fn run(&self, arguments: Vec<OsString>, job: &Job) -> Result<()> {
        let started = Instant::now();
        check_name(&self.character)?;
        self.judge_format.check()?;
        let devices = self.device.devices(job)?;
        let page = self.page(job)?;
        if let Some(page) = &page {
            self.tell_language(page, job);
        }
        let (config, sources) = (self.config(devices.first())?, embedded::sources(page));
        if self.dry_run {
            let plan = plan(&config, sources, &devices, job)?;
            return match (self.format, plan) {
                (Format::Json, plan) => print_json(&plan),
                (Format::Text, Some(plan)) => print(&plan.to_string()),
                (Format::Text, None) => print(&format!(
                    "--model-engine {} sends no requests",
                    self.model_engine
                )),
            };
        }
        if self.data_only {
            let made = teach(&config, sources, &devices, job)?;
            return match self.format {
                Format::Json => print_json(&made),
                Format::Text => print(&format!(
                    "statements  {}\nqueries     {}, {} others held out\ndata        {}\n\n\
                     next: the same command without --data-only",
                    made.statements,
                    made.queries,
                    made.held_out,
                    made.data.display(),
                )),
            };
        }
        let trained = train(&config, sources, &devices, job);
        // What was refused, or failed at once, is no way to train.
        if matches!(&trained, Ok(_) | Err(Error::Interrupted))
            && let Err(error) = Recorded::write(arguments, &self.output, &self.character)
        {
            let line = format!("{error}; apc serve will not train it in the same way");
            job.progress.note(&line);
        }
        let summary = trained?;
        match self.format {
            Format::Json => print_json(&summary),
            Format::Text => print(&self.text(&summary, started.elapsed().as_secs_f64())),
        }
    }

    /// Trains a character as it was trained before, or by default, and follows what has changed since.
    pub(crate) fn again(output: &Path, character: &str, job: &Job) -> Result<()> {
        let recorded = Recorded::read(output, character)?.unwrap_or_else(|| Recorded {
            folder: Checkpoint::folder(".").reference(output),
            arguments: vec!["--character".to_string(), character.to_string()],
        });
        let folder = recorded.folder(output);
        let arguments = std::iter::once("train".to_string()).chain(recorded.arguments);
        let parsed = Train::try_parse_from(arguments).map_err(|error| {
            let text = error.to_string();
            let told = text.lines().next().unwrap_or_default();
            let reason = format!(
                "how {character} was trained is not understood ({told}); train it again on the command line"
            );
            Error::Usage(reason)
        })?;
        let mut args = parsed.args;
        (args.character, args.output) = (character.to_string(), output.to_path_buf());
        args.stand_in(&folder);
        args.force = false;
        let devices = args.device.devices(job)?;
        let page = args.page(job)?;
        let config = args.config(devices.first())?;
        train(&config, embedded::sources(page), &devices, job)?;
        Ok(())
    }

    /// Takes relative paths from a folder.
    fn stand_in(&mut self, folder: &Path) {
        match &mut self.wiki {
            Some(page) => *page = folder.join(&*page),
            None => {
                let wiki = folder.join("wiki");
                self.wiki = find_page(&wiki, &self.character, &mut std::iter::empty()).ok();
            }
        }
        if let Some(file) = &mut self.judge_format.judge_templates {
            *file = folder.join(&*file);
        }
        // What is no folder there is a name on the hub.
        let models = [
            &mut self.model,
            &mut self.relevance,
            &mut self.nli,
            &mut self.grading_relevance,
            &mut self.grading_nli,
        ];
        for model in models.into_iter().flatten() {
            let there = folder.join(&*model);
            if there.is_dir() {
                *model = there;
            }
        }
    }

    fn text(&self, summary: &TrainSummary, seconds: f64) -> String {
        let (dpo, evaluation) = (&summary.dpo, &summary.evaluation);
        let name = &summary.character;
        let state = if summary.stages_run.is_empty() {
            "all stages were complete, nothing was done".to_string()
        } else {
            let n_stages = summary.stages_run.len();
            let stages = if n_stages == 1 { "stage" } else { "stages" };
            format!("{n_stages} {stages} in {seconds:.0} s")
        };
        let adapter = summary.adapter.display();
        let output = elsewhere(&self.output);
        let next = |command_name, more: &[&str]| {
            let named = [command_name, "--character", name.as_str()];
            let output = output.iter().map(String::as_str);
            command(named.into_iter().chain(output).chain(more.iter().copied()))
        };
        let chat = next("chat", &[]);
        let reply = format!("I am {name}.");
        let score = next("score", &["--query", "Who are you?", "--response", &reply]);
        format!(
            "{name}: {state}\n\
             \n\
             statements           {}\n\
             queries              {} of {} trained on, {} others held out\n\
             pairs kept           {} of {}\n\
             optimizer steps      {}\n\
             rewards/accuracies   {:.3}\n\
             rewards/margins      {:.3}\n\
             mean ΔAPC            {:.3} before, {:.3} after, by judges {}\n\
             difference           {:+.3}, 95 % interval {:+.3} to {:+.3} ({} queries, {} replies each)\n\
             adapter              {adapter}\n\
             \n\
             next: {chat}\n      {score}",
            summary.statements,
            summary.trained_on,
            summary.queries,
            evaluation.queries,
            dpo.pairs,
            summary.sampled,
            dpo.steps,
            dpo.accuracies,
            dpo.margins,
            evaluation.before,
            evaluation.after,
            match summary.graders_apart {
                true => "that took no part in the reward",
                false => "of which at least one also gave the reward",
            },
            evaluation.difference,
            evaluation.interval.low,
            evaluation.interval.high,
            evaluation.queries,
            evaluation.replies,
        )
    }
}
