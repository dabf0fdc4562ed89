//! How a judge is asked and how its answer is read: `judge.json` beside its weights, or what stands for it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{JudgeLabels, JudgeTask, JudgeTemplate, Similarity};
use crate::Result;
use crate::files::{self, Checkpoint, read_classifier_config};
use crate::text::Activation;

/// How a judge is asked, what its classes mean and how its logits become probabilities; what is absent is told by the
/// checkpoint, or has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FormatJson", into = "FormatJson")]
pub struct JudgeFormat {
    /// What it reads.
    pub template: Option<JudgeTemplate>,
    /// What its classes mean.
    pub labels: Option<JudgeLabels>,
    /// How its logits become probabilities.
    pub activation: Option<Activation>,
    /// How it judges if it is no classifier but an encoder of sentences.
    pub similarity: Option<Similarity>,
}

/// `judge.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pair: Option<[String; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<JudgeLabels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation: Option<Activation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    similarity: Option<Similarity>,
}

impl TryFrom<FormatJson> for JudgeFormat {
    type Error = String;

    fn try_from(json: FormatJson) -> std::result::Result<Self, String> {
        let template = match (json.template, json.pair) {
            (Some(_), Some(_)) => {
                return Err("\"template\" and \"pair\" are both there; one of them is read".into());
            }
            (Some(text), None) => Some(JudgeTemplate::Text(text)),
            (None, pair) => pair.map(JudgeTemplate::Pair),
        };
        template.as_ref().map_or(Ok(()), JudgeTemplate::check)?;
        Ok(Self {
            template,
            labels: json.labels,
            activation: json.activation,
            similarity: json.similarity,
        })
    }
}

impl From<JudgeFormat> for FormatJson {
    fn from(format: JudgeFormat) -> Self {
        let (template, pair) = match format.template {
            Some(JudgeTemplate::Text(text)) => (Some(text), None),
            Some(JudgeTemplate::Pair(pair)) => (None, Some(pair)),
            None => (None, None),
        };
        Self {
            template,
            pair,
            labels: format.labels,
            activation: format.activation,
            similarity: format.similarity,
        }
    }
}

impl From<JudgeTemplate> for JudgeFormat {
    fn from(template: JudgeTemplate) -> Self {
        Self {
            template: Some(template),
            ..Self::default()
        }
    }
}

impl JudgeFormat {
    const FILE: &'static str = "judge.json";

    /// Whether a checkpoint has a `judge.json`.
    pub fn is_in(checkpoint: &Checkpoint) -> bool {
        checkpoint.has(Self::FILE)
    }

    /// Reads what a checkpoint says of its judge; nothing if it has no `judge.json`.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Ok(checkpoint.read_json_if_any(Self::FILE)?.unwrap_or_default())
    }

    /// Writes it into a judge's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::write_json(&folder.join(Self::FILE), self)
    }

    /// Returns this, and where it says nothing what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            template: self.template.or(other.template),
            labels: self.labels.or(other.labels),
            activation: self.activation.or(other.activation),
            similarity: self.similarity.or(other.similarity),
        }
    }
}

/// Returns the default pair for a public classifier without a template, in the order in which such models are trained.
///
/// # Errors
///
/// A checkpoint whose config cannot be read.
pub(super) fn usual(checkpoint: &Checkpoint, task: JudgeTask) -> Result<[String; 2]> {
    let labels = read_classifier_config(checkpoint)?.labels;
    let is_nli = labels
        .iter()
        .any(|label| label.to_lowercase().contains("entail"));
    let pair = match task {
        // The statement speaks of the character, the reply as the character: the premise is told who speaks.
        JudgeTask::Nli => [
            "{statement}",
            "{character} was asked: {query} {character} replied: {response}",
        ],
        JudgeTask::Relevance if is_nli => [
            "{character} was asked: {query}",
            "The question is about this: {statement}",
        ],
        JudgeTask::Relevance => ["{query}", "{statement}"],
    };
    Ok(pair.map(String::from))
}
