//! What a run has made, for people who look at it and change it.

use std::path::Path;

use serde::Serialize;

use crate::persona::Statement;
use crate::pipeline::layout::Layout;
use crate::pipeline::lock::Lock;
use crate::pipeline::record::Record;
use crate::pipeline::replies::SampledReplies;
use crate::pipeline::stages::evaluate;
use crate::pipeline::train::TrainSummary;
use crate::{Error, Result, files};

/// How much better a character's replies became.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What the last whole run has made, if there was one.
    pub summary: Option<TrainSummary>,
    /// A reply to each held-out query before and after training.
    pub queries: Vec<Compared>,
}

/// Replies to a query before and after training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The query.
    pub query: String,
    /// The base model's.
    pub before: Sample,
    /// The same model's with the adapter.
    pub after: Sample,
}

/// One of the replies to a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The first of them.
    pub response: String,
    /// The mean of all of them.
    pub delta_apc: f64,
}

impl Sample {
    fn of(sampled: &SampledReplies) -> Option<Self> {
        let n_replies = sampled.delta_apc.len().max(1);
        Some(Self {
            response: sampled.responses.first()?.clone(),
            delta_apc: sampled.delta_apc.iter().sum::<f64>() / n_replies as f64,
        })
    }
}

/// Reads what the last whole run on a character in `output` has made; nothing if there was none.
///
/// # Errors
///
/// A file that cannot be read.
pub fn report(output: &Path, character: &str) -> Result<Report> {
    let layout = Layout::new(output, character);
    let stages = [evaluate::BEFORE, evaluate::AFTER];
    let summary = layout.summary();
    for stage in stages {
        // While a run is at work on them, the files are those of two runs.
        if Record::complete(&layout.record(stage))?.is_none() || !summary.is_file() {
            return Ok(Report::default());
        }
    }
    let [before, after] = stages.map(|stage| layout.jsonl(stage));
    let before: Vec<SampledReplies> = files::read_jsonl(&before)?;
    let after: Vec<SampledReplies> = files::read_jsonl(&after)?;
    let compared = before.iter().filter_map(|old| {
        let new = after.iter().find(|new| new.query_idx == old.query_idx)?;
        Some(Compared {
            query: old.query.clone(),
            before: Sample::of(old)?,
            after: Sample::of(new)?,
        })
    });
    Ok(Report {
        queries: compared.collect(),
        summary: Some(files::read_json(&summary)?),
    })
}

/// Writes other statements in place of those that a run has made; the next run follows them.
///
/// # Errors
///
/// A character that no run has made statements of, a run that is at work on it, and a file that cannot be written.
pub fn write_statements(output: &Path, character: &str, statements: &[String]) -> Result<()> {
    let layout = Layout::new(output, character);
    let path = layout.statements();
    if !path.is_file() {
        let reason =
            format!("is {character}, of whom no run has made statements yet; train it first");
        return Err(Error::setting("character", reason));
    }
    let _lock = Lock::take(&layout.lock(), &layout.data).map_err(|error| match error {
        Error::Invalid { .. } => {
            let reason =
                format!("another run is at work on {character}; wait for its end, or stop it");
            Error::Usage(reason)
        }
        other => other,
    })?;
    let statements = statements.iter().map(|statement| Statement {
        statement: statement.clone(),
    });
    files::write_jsonl(&path, &statements.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_written_only_where_a_run_has_made_some() {
        let folder = tempfile::tempdir().unwrap();
        let new = ["Mira sings.".to_string(), "Mira \"swims\".".to_string()];
        let error = write_statements(folder.path(), "Mira", &new).unwrap_err();
        assert!(error.to_string().contains("train it first"), "{error}");
        let data = folder.path().join("data/Mira");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(
            data.join("statements.jsonl"),
            "{\"statement\": \"Mira sews.\"}\n",
        )
        .unwrap();
        write_statements(folder.path(), "Mira", &new).unwrap();
        let read: Vec<Statement> = files::read_jsonl(&data.join("statements.jsonl")).unwrap();
        let read: Vec<String> = read.into_iter().map(|one| one.statement).collect();
        assert_eq!(read, new);
        assert_eq!(report(folder.path(), "Mira").unwrap(), Report::default());
        let _held = Lock::character(folder.path(), "Mira").unwrap();
        let error = write_statements(folder.path(), "Mira", &new).unwrap_err();
        assert!(error.to_string().contains("another run"), "{error}");
    }
}
