//! Logs the numbers of every step, one line per step.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use burn::train::Interrupter;
use burn::train::logger::MetricLogger;
use burn::train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use serde_json::{Map, Value, json};

use crate::{Error, Result, files};

/// A logger of burn's learner that appends to a JSON Lines file, and stops the run when it cannot.
pub(super) struct StepLog {
    path: PathBuf,
    file: std::fs::File,
    names: Vec<(MetricId, String)>,
    interrupter: Interrupter,
    failure: Arc<Mutex<Option<Error>>>,
    /// Steps of this run so far.
    steps: usize,
}

/// The error of a training whose numbers are no longer finite.
pub(super) fn diverged(what: &str) -> Error {
    Error::Training(format!(
        "{what}: it has diverged; lower `learning_rate`, or what scales the update, such as `lora_alpha`"
    ))
}

impl StepLog {
    /// Opens the file and drops the lines of epochs after the last checkpoint.
    pub(super) fn open(
        path: &Path,
        epochs_done: usize,
        interrupter: &Interrupter,
        failure: &Arc<Mutex<Option<Error>>>,
    ) -> Result<Self> {
        let mut kept: Vec<Value> = Vec::new();
        if path.is_file() {
            let (_, lines) = files::Journal::open::<Value>(path)?;
            kept.extend(lines.into_iter().filter(|line| {
                line["epoch"]
                    .as_u64()
                    .is_some_and(|epoch| epoch <= epochs_done as u64)
            }));
        }
        files::write_jsonl(path, &kept)?;
        let file = std::fs::OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            names: Vec::new(),
            interrupter: interrupter.clone(),
            failure: failure.clone(),
            steps: 0,
        })
    }
}

impl StepLog {
    /// Stops the run with an error.
    fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let told = error.to_string();
        failure.get_or_insert(error);
        self.interrupter.stop(Some(told.as_str()));
    }
}

impl MetricLogger for StepLog {
    fn log(&mut self, update: MetricsUpdate, epoch: usize, split: &Split) {
        let mut line = Map::from_iter([
            ("epoch".to_string(), json!(epoch)),
            ("split".to_string(), json!(split.to_string())),
        ]);
        let is_step = !update.entries_numeric.is_empty();
        self.steps += usize::from(is_step);
        for metric in update.entries_numeric {
            let name = self
                .names
                .iter()
                .find(|(id, _)| *id == metric.entry.metric_id)
                .map(|(_, name)| name.clone());
            if let (
                Some(name),
                Some(NumericEntry::Aggregated {
                    aggregated_value, ..
                }),
            ) = (name, metric.numeric_entry)
            {
                // Every model has a loss; other numbers are absent from some batches.
                if name == "loss" && !aggregated_value.is_finite() {
                    let step = self.steps;
                    self.fail(diverged(&format!(
                        "{name} is {aggregated_value} at batch {step}"
                    )));
                }
                line.insert(name, json!(aggregated_value));
            }
        }
        if line.len() == 2 {
            return; // the end of an epoch, whose means follow from its steps
        }
        let text = Value::Object(line).to_string() + "\n";
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.fail(Error::io("write", &self.path)(error));
        }
    }

    fn read_numeric(
        &mut self,
        name: &str,
        _epoch: usize,
        _split: &Split,
    ) -> std::result::Result<Vec<NumericEntry>, String> {
        Err(format!(
            "{name} is not kept in memory; read {}",
            self.path.display()
        ))
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        self.names
            .push((definition.metric_id, definition.name.to_string()));
    }

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}
