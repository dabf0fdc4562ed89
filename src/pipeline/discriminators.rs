//! Which judges a run uses.

use serde_json::{Value, json};

use crate::Result;
use crate::persona::JudgeSource;

/// The two judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discriminators {
    /// Whether a statement matters to a query.
    pub relevance: JudgeSource,
    /// Whether a reply follows from a statement.
    pub nli: JudgeSource,
}

/// What identifies a judge: its model and, if it is not the model's own, the way it is asked.
pub(super) fn judge_hash(judge: &JudgeSource) -> Result<Value> {
    let folder = judge.checkpoint.hash()?;
    Ok(match &judge.template {
        None => json!(folder),
        Some(template) => json!([folder, template]),
    })
}
