//! `--relevance` and `--nli`: the judges that score.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::args::chat_model::ChatModelArgs;
use crate::cli::args::device::JudgePrecisionArgs;
use crate::cli::args::hub;
use crate::cli::input::check_file;
use crate::files::{Checkpoint, Precision};
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::{
    Judge, JudgeFormat, JudgeLabels, JudgeSource, JudgeTask, JudgeTemplate, Persona, Scorer,
    find_judge, read_format,
};
use crate::pipeline::{UsedJudge, trained_with};
use crate::progress::Job;
use crate::teacher::chat::{ChatTeacher, Language};
use crate::text::Activation;
use crate::tiny::{Embedded, english};
use crate::{Error, Result};

/// Which judges score.
#[derive(Args, Debug)]
pub(crate) struct JudgeArgs {
    /// The relevance judge: a folder, a name on the hub, embedded, or openai:MODEL for a chat model [default: the one that the
    /// character was trained with, else the embedded one].
    #[arg(long, value_name = "DIR|NAME")]
    relevance: Option<PathBuf>,
    /// The NLI judge, likewise.
    #[arg(long, value_name = "DIR|NAME")]
    nli: Option<PathBuf>,
    #[command(flatten)]
    format: JudgeFormatArgs,
    #[command(flatten)]
    precision: JudgePrecisionArgs,
    #[command(flatten)]
    chat: ChatModelArgs,
}

/// How judges of this machine are asked, and what their classes mean.
#[derive(Args, Debug)]
pub(crate) struct JudgeFormatArgs {
    /// Input templates of the judges, in place of judge.json, the published prompt and the character's record. JSON with the
    /// keys relevance, nli, grading_relevance and grading_nli, each a text, an array of two texts for a pair, or an object as in
    /// judge.json; or the original's prompt.py. Chat models ignore it.
    #[arg(long, value_name = "FILE")]
    pub(crate) judge_templates: Option<PathBuf>,
    /// Template of the relevance judge: a text with {character}, {statement} and {query}, or a JSON array of two texts for a
    /// judge of text pairs.
    #[arg(long, value_name = "TEXT")]
    relevance_template: Option<String>,
    /// Template of the NLI judge; may also name {response}.
    #[arg(long, value_name = "TEXT")]
    nli_template: Option<String>,
    /// Names of a judge's labels in the order of its logits, for checkpoints that do not name them: no,yes or
    /// contradicted,neutral,entailed in any order. Give it twice to name those of both judges.
    #[arg(long, value_name = "NAMES")]
    judge_labels: Vec<String>,
}

impl JudgeFormatArgs {
    /// Fails if the file of templates, which is read once for each judge, is a pipe.
    pub(crate) fn check(&self) -> Result<()> {
        self.judge_templates.as_deref().map_or(Ok(()), check_file)
    }

    /// What the flags say of a judge.
    pub(crate) fn format(&self, task: JudgeTask) -> Result<JudgeFormat> {
        let (setting, given) = match task {
            JudgeTask::Relevance => ("relevance_template", &self.relevance_template),
            JudgeTask::Nli => ("nli_template", &self.nli_template),
        };
        let parse = |text: &String| {
            let refused = |reason| Error::setting(setting, format!("is {text:?}: {reason}"));
            let template = JudgeTemplate::parse(text).map_err(refused)?;
            template.check_for(task).map_err(refused)?;
            Ok(template)
        };
        Ok(JudgeFormat {
            template: given.as_ref().map(parse).transpose()?,
            labels: self.labels(task)?,
            activation: None,
            similarity: None,
        })
    }

    /// The labels of a task, which their number tells from the other's.
    fn labels(&self, task: JudgeTask) -> Result<Option<JudgeLabels>> {
        let mut found = None;
        for text in &self.judge_labels {
            let labels: Vec<String> = text.split(',').map(|name| name.trim().into()).collect();
            let its_task = JudgeTask::of_labels(&labels);
            let labels = JudgeLabels::Ordered(labels);
            let refused = |reason: String| {
                let reason =
                    reason.replace("; name the classes in their order with `judge_labels`", "");
                Error::setting("judge_labels", format!("{text:?} {reason}"))
            };
            labels.check(its_task).map_err(refused)?;
            if its_task == task && found.replace(labels).is_some() {
                return Err(Error::setting(
                    "judge_labels",
                    "names the classes of one judge twice",
                ));
            }
        }
        Ok(found)
    }
}

/// A chosen judge, not yet loaded. Equal values can share one loaded judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenJudge {
    task: JudgeTask,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Local(JudgeSource),
    Chat {
        model: String,
        /// What records call it, with a mark of its server.
        recorded: String,
        language: Language,
        /// Where its answers are kept; nowhere if it judges for no character.
        answers: Option<PathBuf>,
    },
}

/// What makes a judge's scores what they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JudgeIdentity {
    /// What messages call it; the same judge may be called otherwise from elsewhere.
    pub(crate) name: String,
    /// The checkpoint's hash; none of a chat model.
    pub(crate) hash: Option<String>,
    /// How it is asked; none of a chat model.
    pub(crate) template: Option<JudgeTemplate>,
    /// What its classes were said to mean, if anyone said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<JudgeLabels>,
    /// How its logits were said to become probabilities, if anyone said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activation: Option<Activation>,
    /// How its weights are kept; none of a chat model.
    pub(crate) precision: Option<Precision>,
}

impl ChosenJudge {
    /// Whether it is one of those inside the program.
    pub(crate) fn is_embedded(&self) -> bool {
        match &self.place {
            Place::Local(judge) => judge.checkpoint.as_folder().is_none(),
            Place::Chat { .. } => false,
        }
    }

    /// Returns what makes its scores what they are; a folder is named from the folder `from`.
    ///
    /// # Errors
    ///
    /// A checkpoint that cannot be read.
    pub(crate) fn identity(&self, from: &Path) -> Result<JudgeIdentity> {
        Ok(match &self.place {
            Place::Local(judge) => {
                let format = judge.format()?;
                JudgeIdentity {
                    name: judge.checkpoint.reference(from),
                    hash: Some(judge.checkpoint.hash()?),
                    template: Some(judge.template(self.task)?),
                    labels: format.labels,
                    activation: format.activation,
                    precision: Some(judge.precision),
                }
            }
            Place::Chat { recorded, .. } => JudgeIdentity {
                name: format!("{CHAT}{recorded}"),
                hash: None,
                template: None,
                labels: None,
                activation: None,
                precision: None,
            },
        })
    }
}

/// The judges of a character, before they are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenJudges {
    pub(crate) relevance: ChosenJudge,
    pub(crate) nli: ChosenJudge,
}

impl ChosenJudges {
    /// Warns of texts that the embedded judges cannot read, if one of them judges.
    pub(crate) fn tell_language<'a>(&self, texts: impl IntoIterator<Item = &'a str>, job: &Job) {
        if !self.relevance.is_embedded() && !self.nli.is_embedded() {
            return;
        }
        tell_language(texts, "`relevance` and `nli`", job);
    }

    /// What the weights of both take in memory, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for judge in [&self.relevance, &self.nli] {
            if let Place::Local(judge) = &judge.place {
                bytes += judge.bytes()?;
            }
        }
        Ok(bytes)
    }
}

/// What comes before the name of a chat model that judges.
const CHAT: &str = "openai:";

impl JudgeArgs {
    /// Whether a relevance judge was named.
    pub(crate) fn names_relevance(&self) -> bool {
        self.relevance.is_some()
    }

    /// Loads both judges of a character.
    pub(crate) fn load_chosen(
        &self,
        chosen: &ChosenJudges,
        devices: &Devices,
        job: &Job,
    ) -> Result<Scorer> {
        Ok(Scorer {
            relevance: self.load_one(&chosen.relevance, devices, job)?,
            nli: self.load_one(&chosen.nli, devices, job)?,
        })
    }

    /// Finds the judges of a character in the folder `output`: those that were named, else those that it was trained with,
    /// else its own.
    pub(crate) fn choose(
        &self,
        output: &Path,
        persona: &Persona,
        job: &Job,
    ) -> Result<ChosenJudges> {
        self.choose_for(Some((output, persona)), job)
    }

    /// Finds judges for no character: those that were named, else the embedded ones. A chat model is asked in English and its
    /// answers are not kept.
    pub(crate) fn choose_for_nobody(&self, job: &Job) -> Result<ChosenJudges> {
        self.choose_for(None, job)
    }

    fn choose_for(&self, character: Option<(&Path, &Persona)>, job: &Job) -> Result<ChosenJudges> {
        self.format.check()?;
        let hub = Hub::new(hub::config(), job)?;
        let with = match character {
            Some((output, persona)) => trained_with(output, &persona.name)?,
            None => None,
        };
        let with = with.as_ref();
        let choose = |given: &Option<PathBuf>, name: &str, task, used: Option<&UsedJudge>| {
            let given = given.as_deref();
            let chat = given.and_then(|name| name.to_str()?.strip_prefix(CHAT));
            let place = match chat {
                Some(model) => Place::Chat {
                    model: model.to_string(),
                    recorded: self.chat.config().recorded_name(model)?,
                    language: character.map_or(Language::English, |(_, persona)| {
                        Language::of(&persona.statements.join("\n"))
                    }),
                    // Each judge has a file of its own, as each writes to it.
                    answers: character.map(|(output, persona)| {
                        let folder = output.join("data").join(&persona.name);
                        folder.join(format!("{name}-judgements.jsonl"))
                    }),
                },
                None => {
                    let templates = self.format.judge_templates.as_deref();
                    let mut judge = match (given, character) {
                        (Some(name), _) if name == Path::new(hub::EMBEDDED) => embedded(task),
                        (Some(name), _) => match hub::embedded(name)? {
                            Some(checkpoint) => checkpoint.into(),
                            None => find_judge(&hub, name, task, templates)?,
                        },
                        (None, None) => embedded(task),
                        (None, Some((output, persona))) => match used {
                            Some(used) => used_judge(output, used, &hub, task)?,
                            None => own_judge(output, &persona.name, name, task),
                        },
                    };
                    if let Some(path) = templates {
                        judge.format = read_format(path, task)?.or(judge.format);
                    }
                    judge.format = self.format.format(task)?.or(judge.format);
                    judge.precision = self.precision.precision(judge.precision);
                    Place::Local(judge)
                }
            };
            Ok(ChosenJudge { task, place })
        };
        let used = with.map(|with| &with.relevance);
        let relevance = choose(&self.relevance, "relevance", JudgeTask::Relevance, used)?;
        let nli = choose(&self.nli, "nli", JudgeTask::Nli, with.map(|with| &with.nli))?;
        let chats = |judge: &ChosenJudge| matches!(judge.place, Place::Chat { .. });
        if self.format.judge_templates.is_some() && chats(&relevance) && chats(&nli) {
            return Err(Error::Usage(
                "--judge-templates is for judges of this machine: chat models have prompts of their own".into(),
            ));
        }
        Ok(ChosenJudges { relevance, nli })
    }

    /// Loads a judge.
    pub(crate) fn load_one(
        &self,
        chosen: &ChosenJudge,
        devices: &Devices,
        job: &Job,
    ) -> Result<Judge> {
        match &chosen.place {
            Place::Local(judge) => Judge::load(judge, chosen.task, devices, job),
            Place::Chat {
                model,
                language,
                answers,
                ..
            } => {
                let model = self.chat.judge(model, job)?;
                let teacher = ChatTeacher::new(Box::new(model), *language, answers.as_deref())?;
                Ok(Judge::Chat(Arc::new(teacher)))
            }
        }
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
        // What is recorded of how it was asked takes the place of what its authors say.
        None if used.format.template.is_some() => hub.checkpoint(Path::new(&used.name))?.into(),
        None => find_judge(hub, Path::new(&used.name), task, None)?,
    };
    judge.format = used.format.clone().or(judge.format);
    judge.precision = used.precision;
    Ok(judge)
}

/// Tells of the first text that the embedded judges cannot read, because it is not English.
///
/// - flags: those that name other judges
pub(crate) fn tell_language<'a>(texts: impl IntoIterator<Item = &'a str>, flags: &str, job: &Job) {
    if let Some(language) = texts.into_iter().find_map(english::other_language) {
        job.progress.note(&format!(
            "the embedded judges read English only, and a text seems to be in {language}: its scores are meaningless; name other \
             judges with {flags}: a folder, a name on the hub, or openai:MODEL"
        ));
    }
}

/// A character's own judge if it was fine-tuned, else the embedded one.
fn own_judge(output: &Path, character: &str, name: &str, task: JudgeTask) -> JudgeSource {
    let own = output.join("models").join(character).join(name);
    if own.join("config.json").is_file() {
        Checkpoint::from(own).into()
    } else {
        embedded(task)
    }
}

fn embedded(task: JudgeTask) -> JudgeSource {
    match task {
        JudgeTask::Relevance => Embedded::Relevance.checkpoint().into(),
        JudgeTask::Nli => Embedded::Nli.checkpoint().into(),
    }
}
