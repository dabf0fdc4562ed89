//! `--relevance` and `--nli`: the judges that score.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;
use crate::cli::args::chat_model::ChatModelArgs;
use crate::cli::args::device::JudgePrecisionArgs;
use crate::cli::args::hub;
use crate::files::Checkpoint;
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::{Judge, JudgeSource, JudgeTask, JudgeTemplate, Persona, Scorer, find_judge};
use crate::pipeline::{UsedJudge, trained_with};
use crate::progress::Job;
use crate::teacher::chat::{ChatTeacher, Language, OpenAi};
use crate::tiny::Embedded;

/// Which judges score.
#[derive(Args, Debug)]
pub(crate) struct JudgeArgs {
    /// The relevance judge: a folder, a name on the hub, or openai:MODEL for a chat model [default: the one that the
    /// character was trained with, else the embedded one].
    #[arg(long, value_name = "DIR|NAME")]
    relevance: Option<PathBuf>,
    /// The NLI judge, likewise.
    #[arg(long, value_name = "DIR|NAME")]
    nli: Option<PathBuf>,
    /// How judges are asked that do not say so themselves: JSON with relevance and nli, or the original's prompt.py.
    #[arg(long, value_name = "FILE")]
    judge_templates: Option<PathBuf>,
    #[command(flatten)]
    precision: JudgePrecisionArgs,
    #[command(flatten)]
    chat: ChatModelArgs,
}

impl JudgeArgs {
    /// The judges of a character.
    pub(crate) fn load(
        &self,
        output: &Path,
        persona: &Persona,
        devices: &Devices,
        job: &Job,
    ) -> Result<Scorer> {
        let hub = Hub::new(hub::config(), job)?;
        let trained_with = trained_with(output, &persona.name)?;
        let used = |task| {
            let with = trained_with.as_ref()?;
            Some(match task {
                JudgeTask::Relevance => &with.relevance,
                JudgeTask::Nli => &with.nli,
            })
        };
        let load = |given: &Option<PathBuf>, name: &str, task| {
            let chat = given
                .as_ref()
                .and_then(|name| name.to_str()?.strip_prefix("openai:"));
            if let Some(model) = chat {
                let language = Language::of(&persona.statements.join("\n"));
                let model = OpenAi::new(model, self.chat.config(), job)?;
                // Each judge has a file of its own, as each writes to it.
                let answers = output
                    .join("data")
                    .join(&persona.name)
                    .join(format!("{name}-judgements.jsonl"));
                let teacher = ChatTeacher::new(Box::new(model), language, &answers)?;
                return Ok(Judge::Chat(Box::new(teacher)));
            }
            let mut judge = match (given, used(task)) {
                (Some(name), _) => find_judge(&hub, name, task, self.judge_templates.as_deref())?,
                (None, Some(used)) => used_judge(output, used, &hub, task)?,
                (None, None) => own_judge(output, &persona.name, name, task),
            };
            judge.precision = self.precision.precision(judge.precision);
            Judge::load(&judge, task, devices)
        };
        Ok(Scorer {
            relevance: load(&self.relevance, "relevance", JudgeTask::Relevance)?,
            nli: load(&self.nli, "nli", JudgeTask::Nli)?,
        })
    }
}

/// The judge that a character was trained with.
fn used_judge(output: &Path, used: &UsedJudge, hub: &Hub, task: JudgeTask) -> Result<JudgeSource> {
    let embedded = used.name.strip_prefix(hub::EMBEDDED);
    let embedded = embedded.and_then(|name| Embedded::from_name(name.trim_start_matches('/')));
    let folder = output.join(&used.name);
    let mut judge = match embedded {
        Some(embedded) => embedded.checkpoint().into(),
        None if folder.join("config.json").is_file() => Checkpoint::folder(folder).into(),
        None => find_judge(hub, Path::new(&used.name), task, None)?,
    };
    if let Some(template) = &used.template {
        judge.template = Some(JudgeTemplate {
            template: template.clone(),
        });
    }
    judge.precision = used.precision;
    Ok(judge)
}

/// A character's own judge if it was fine-tuned, else the embedded one.
fn own_judge(output: &Path, character: &str, name: &str, task: JudgeTask) -> JudgeSource {
    let own = output.join("models").join(character).join(name);
    if own.join("config.json").is_file() {
        Checkpoint::from(own).into()
    } else {
        match task {
            JudgeTask::Relevance => Embedded::Relevance.checkpoint().into(),
            JudgeTask::Nli => Embedded::Nli.checkpoint().into(),
        }
    }
}
