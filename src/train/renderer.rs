//! Reports the progress of burn's learner to the crate's own `Progress`.

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

use crate::progress::{Job, Task};

/// Draws one bar over all epochs with the running loss beside it.
pub(super) struct Renderer {
    job: Job,
    label: String,
    epochs: usize,
    epoch: usize,
    training: bool,
    done: usize,
    names: Vec<(MetricId, String)>,
    valid: Vec<(String, f64, usize)>,
    task: Option<Box<dyn Task>>,
}

impl Renderer {
    pub(super) fn new(job: &Job, label: &str) -> Self {
        Self {
            job: job.clone(),
            label: label.to_string(),
            epochs: 0,
            epoch: 0,
            training: false,
            done: 0,
            names: Vec::new(),
            valid: Vec::new(),
            task: None,
        }
    }
}

impl TrainingProgressLogger for Renderer {
    fn start(
        &mut self,
        total_epochs: usize,
        starting_epoch: usize,
        _total_items: Option<usize>,
        _label: Option<&str>,
    ) {
        self.epochs = total_epochs;
        self.epoch = starting_epoch - 1;
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.epoch = epoch;
        let valid: Vec<String> = self
            .valid
            .drain(..)
            .map(|(name, sum, count)| format!("{name} {:.4}", sum / count as f64))
            .collect();
        if !valid.is_empty() {
            let epochs = self.epochs;
            self.job.progress.note(&format!(
                "{}: epoch {epoch} of {epochs}, held out: {}",
                self.label,
                valid.join(", ")
            ));
        }
    }

    fn start_split(&mut self, split: &str, total_items: usize) {
        self.training = split.eq_ignore_ascii_case("train");
        self.done = 0;
        if self.training && self.task.is_none() {
            // Steps of an earlier run would make this one look faster than it is.
            let to_do = total_items * (self.epochs - self.epoch);
            self.task = Some(self.job.progress.task(&self.label, to_do, "examples"));
        }
    }

    fn update_split(&mut self, items_processed: usize) {
        if let Some(task) = self.task.as_ref().filter(|_| self.training) {
            task.advance(items_processed.saturating_sub(self.done));
        }
        self.done = items_processed;
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {
        self.task = None;
    }

    fn log_event_training(&mut self, _event: String) {} // burn tells each iteration and each learning rate
}

impl MetricsRendererTraining for Renderer {
    fn update_train(&mut self, state: MetricState) {
        let MetricState::Numeric(entry, Some(value)) = state else {
            return;
        };
        let is_loss = self
            .names
            .iter()
            .any(|(id, name)| *id == entry.metric_id && name == "loss");
        if let Some(task) = self.task.as_ref().filter(|_| is_loss) {
            let value = match value {
                NumericEntry::Value(value) | NumericEntry::Final(value) => value,
                NumericEntry::Aggregated {
                    aggregated_value, ..
                } => aggregated_value,
            };
            task.message(&format!("loss {value:.4}"));
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        let MetricState::Numeric(entry, Some(value)) = state else {
            return;
        };
        let Some((_, name)) = self.names.iter().find(|(id, _)| *id == entry.metric_id) else {
            return;
        };
        let (value, count) = match value {
            NumericEntry::Value(value) | NumericEntry::Final(value) => (value, 1),
            NumericEntry::Aggregated {
                aggregated_value,
                count,
            } => (aggregated_value, count),
        };
        match self.valid.iter_mut().find(|(found, _, _)| found == name) {
            Some((_, sum, examples)) => {
                *sum += value * count as f64;
                *examples += count;
            }
            None => self.valid.push((name.clone(), value * count as f64, count)),
        }
    }

    fn on_train_end(
        &mut self,
        _summary: Option<burn::train::LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl EvaluationProgressLogger for Renderer {
    fn start_global_progress(&mut self, _total_tests: usize) {}
    fn start_test(&mut self, _name: &str, _total_items: usize) {}
    fn update_test_progress(&mut self, _items_processed: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRendererEvaluation for Renderer {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl MetricsRenderer for Renderer {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names
            .push((definition.metric_id, definition.name.to_string()));
    }
}
