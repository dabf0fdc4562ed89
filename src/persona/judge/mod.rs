//! The judges: does a statement matter to a query, and does a reply follow from it? The paper calls them discriminators.
//!
//! A judge is a classifier on this machine, or a chat model in its place. What is asked and answered is the same; nothing
//! here knows how a chat model is reached.

mod cache;
mod format;
mod labels;
mod local;
mod published;
mod reader;
mod similarity;
mod template;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Persona, RelevanceTable};
use crate::Result;
use crate::files::{self, Checkpoint, Precision};
use crate::parallel::{Devices, at_once};
use crate::progress::Job;

pub use cache::RelevanceCache;
pub use format::JudgeFormat;
pub use labels::JudgeLabels;
pub use local::LocalJudge;
pub use published::{find_judge, read_format, read_grading_format};
pub use reader::JudgeReader;
pub use similarity::Similarity;
#[cfg(feature = "tiny")]
pub(crate) use similarity::cosine;
pub use template::{JudgeInput, JudgeTemplate};

/// Whether a statement matters to a query; the order is that of the logits of judges that this program trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relevance {
    /// It does not.
    No,
    /// It does.
    Yes,
}

impl Relevance {
    /// Both, by name.
    pub const NAMES: [&'static str; 2] = ["no", "yes"];
}

/// What a statement says of a reply; the order is that of the logits of judges that this program trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nli {
    /// The reply contradicts the statement.
    Contradicted,
    /// The statement leaves the reply open.
    Neutral,
    /// The reply follows from the statement.
    Entailed,
}

impl Nli {
    /// All three, by name.
    pub const NAMES: [&'static str; 3] = ["contradicted", "neutral", "entailed"];
}

/// What a judge judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeTask {
    /// Whether a statement matters to a query.
    Relevance,
    /// What a statement says of a reply.
    Nli,
}

impl JudgeTask {
    /// The setting that names another template for its judge.
    fn settings(self) -> &'static str {
        match self {
            Self::Relevance => "relevance_template",
            Self::Nli => "nli_template",
        }
    }

    /// Its classes, in the order of the logits of judges that this program trains.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Relevance => &Relevance::NAMES,
            Self::Nli => &Nli::NAMES,
        }
    }

    /// The task whose classes these are, told by their number.
    pub fn of_labels(labels: &[String]) -> Self {
        match labels.len() {
            3 => Self::Nli,
            _ => Self::Relevance,
        }
    }

    /// The logit of each of its classes in a classifier; none if that has other classes, or a single one.
    pub fn logits(
        self,
        checkpoint: &Checkpoint,
        labels: Option<&JudgeLabels>,
    ) -> Result<Vec<usize>> {
        let found = files::read_classifier_config(checkpoint)?.labels;
        let columns = labels::columns(self, &found, labels).ok();
        let logits = columns.map(|columns| columns.logits);
        Ok(logits.filter(|logits| logits.len() > 1).unwrap_or_default())
    }

    /// The template of the judges that this program trains.
    pub fn template(self) -> JudgeTemplate {
        match self {
            Self::Relevance => JudgeTemplate::relevance(),
            Self::Nli => JudgeTemplate::nli(),
        }
    }
}

/// What a statement says of a reply; the three sum to one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NliProbabilities {
    /// P(the reply contradicts the statement).
    pub contradicted: f64,
    /// P(the statement leaves the reply open).
    pub neutral: f64,
    /// P(the reply follows from the statement).
    pub entailed: f64,
}

/// Where a judge is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeSource {
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// How it is asked and what it answers, in place of what its `judge.json` says.
    pub format: JudgeFormat,
    /// How its weights are kept.
    pub precision: Precision,
}

impl From<Checkpoint> for JudgeSource {
    fn from(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            format: JudgeFormat::default(),
            precision: Precision::default(),
        }
    }
}

impl JudgeSource {
    /// What its weights take in memory, in bytes.
    pub fn bytes(&self) -> Result<u64> {
        Ok(files::weight_sizes(&self.checkpoint, self.precision)?.total)
    }

    /// How the judge is asked and what it answers: as was given, and where that says nothing as its `judge.json` says.
    pub fn format(&self) -> Result<JudgeFormat> {
        Ok(self.format.clone().or(JudgeFormat::load(&self.checkpoint)?))
    }

    /// How the judge is asked; one that says nothing of it is asked with a pair, as public classifiers are trained.
    pub fn template(&self, task: JudgeTask) -> Result<JudgeTemplate> {
        match self.format()?.template {
            Some(template) => Ok(template),
            None => Ok(JudgeTemplate::Pair(format::usual(&self.checkpoint, task)?)),
        }
    }
}

/// A chat model that judges.
pub trait ChatJudge: Send + Sync {
    /// How many questions are best asked at once.
    fn concurrency(&self) -> usize;

    /// P(the statement matters to the query).
    fn relevance(&self, character: &str, statement: &str, query: &str) -> Result<f64>;

    /// What a statement says of a reply.
    fn nli(&self, input: &JudgeInput<'_>) -> Result<NliProbabilities>;
}

/// A judge of either kind; a clone shares weights and answers with it.
#[derive(Clone)]
pub enum Judge {
    /// A classifier on this machine.
    Local(Arc<LocalJudge>),
    /// A chat model.
    Chat(Arc<dyn ChatJudge>),
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(judge) => judge.fmt(f),
            Self::Chat(_) => f.write_str("Chat(..)"),
        }
    }
}

impl Judge {
    /// Reads a judge of this machine, and tells what a user should know of it; see [`LocalJudge::load`].
    pub fn load(
        source: &JudgeSource,
        task: JudgeTask,
        devices: &Devices,
        job: &Job,
    ) -> Result<Self> {
        let judge = LocalJudge::load_noting(source, task, devices, job)?;
        Ok(Self::Local(Arc::new(judge)))
    }

    /// The text that it reads for an input; none of a chat model, which has its own prompts.
    pub fn text(&self, input: &JudgeInput<'_>) -> Option<String> {
        match self {
            Self::Local(judge) => Some(judge.template().render(input)),
            Self::Chat(_) => None,
        }
    }

    /// As much of a reply, from its beginning, as it can read with the query and any of the statements.
    pub fn readable<'a>(
        &self,
        persona: &Persona,
        query: &str,
        response: &'a str,
    ) -> Result<&'a str> {
        match self {
            Self::Local(judge) => judge.readable(persona, query, response),
            Self::Chat(_) => Ok(response),
        }
    }

    /// P(relevant) of every statement for every query.
    pub fn relevance(
        &self,
        persona: &Persona,
        queries: &[String],
        job: &Job,
    ) -> Result<RelevanceTable> {
        let judge = match self {
            Self::Local(judge) => return judge.relevance(None, persona, queries, job),
            Self::Chat(judge) => judge,
        };
        let inputs: Vec<JudgeInput<'_>> = queries
            .iter()
            .flat_map(|query| persona.inputs(query, ""))
            .collect();
        let task = job.progress.task("relevance", inputs.len(), "questions");
        let judged = at_once(&inputs, judge.concurrency(), |input| {
            job.check()?;
            let yes = judge.relevance(input.character, input.statement, input.query)?;
            task.advance(1);
            Ok(yes)
        })?;
        Ok(RelevanceTable::of(&judged, persona))
    }

    /// What every statement says of every (query, reply); one row a reply.
    pub fn nli(
        &self,
        persona: &Persona,
        replies: &[(&str, &str)],
        job: &Job,
    ) -> Result<Vec<Vec<NliProbabilities>>> {
        let judge = match self {
            Self::Local(judge) => return judge.nli(persona, replies, job),
            Self::Chat(judge) => judge,
        };
        let inputs: Vec<JudgeInput<'_>> = replies
            .iter()
            .flat_map(|(query, response)| persona.inputs(query, response))
            .collect();
        let task = job.progress.task("entailment", inputs.len(), "questions");
        let judged = at_once(&inputs, judge.concurrency(), |input| {
            job.check()?;
            let judged = judge.nli(input)?;
            task.advance(1);
            Ok(judged)
        })?;
        let rows = judged.chunks(persona.statements.len().max(1));
        Ok(rows.map(<[NliProbabilities]>::to_vec).collect())
    }
}
