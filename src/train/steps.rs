//! The numbers of every optimizer step, as TRL logs them.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::progress::Job;
use crate::train::Scalars;
use crate::{Error, Result, files};

/// Gathers the batches of each optimizer step into one record: the means of their numbers, the norm of the gradients
/// before clipping, the learning rate.
///
/// Records are appended to a JSON Lines file and shown as notes of the job.
#[derive(Debug)]
pub struct StepRecorder {
    job: Job,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    journal: files::Journal,
    sums: Vec<(&'static str, f64)>,
    batches: usize,
    steps: usize,
    failure: Option<crate::Error>,
}

impl StepRecorder {
    /// Continues after the first `steps_done` records of the file and drops later ones, whose steps will run again; what the
    /// file should hold is kept at `seal`.
    pub fn open(path: &Path, seal: &Path, steps_done: usize, job: &Job) -> Result<Self> {
        let mut steps: Vec<Map<String, Value>> = if path.is_file() {
            files::Journal::open(path)?.1
        } else {
            Vec::new()
        };
        steps.truncate(steps_done);
        files::write_jsonl(path, &steps)?;
        let steps = steps.len();
        files::Seal::write_of(seal, path)?;
        let opened = files::Journal::open_sealed::<Map<String, Value>>(path, seal)?;
        let (journal, _) =
            opened.ok_or_else(|| Error::invalid(path, "another program writes to it"))?;
        Ok(Self {
            job: job.clone(),
            state: Mutex::new(State {
                journal,
                sums: Vec::new(),
                batches: 0,
                steps,
                failure: None,
            }),
        })
    }

    /// Counts one batch in.
    pub(super) fn add(&self, scalars: &Scalars) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.batches += 1;
        for &(name, value) in &scalars.values {
            match state.sums.iter_mut().find(|(found, _)| *found == name) {
                Some((_, sum)) => *sum += value,
                None => state.sums.push((name, value)),
            }
        }
    }

    /// Ends a step with the batches counted in since the last.
    pub(super) fn finish(&self, grad_norm: f64, learning_rate: f64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = std::mem::take(&mut state.batches).max(1) as f64;
        let means = std::mem::take(&mut state.sums)
            .into_iter()
            .map(|(name, sum)| (name, sum / batches))
            .chain([("grad_norm", grad_norm), ("learning_rate", learning_rate)]);
        let step: Map<String, Value> = means
            .map(|(name, value)| (name.to_string(), Value::from(value)))
            .collect();
        if let Err(error) = state.journal.append(std::slice::from_ref(&step)) {
            state.failure.get_or_insert(error);
            self.job.stop();
        }
        let told: Vec<String> = step
            .iter()
            .map(|(name, value)| match value.as_f64().unwrap_or(f64::NAN) {
                small if small.abs() < 1e-3 => format!("{name} {small:.2e}"),
                value => format!("{name} {value:.4}"),
            })
            .collect();
        state.steps += 1;
        self.job
            .progress
            .note(&format!("step {}: {}", state.steps, told.join(", ")));
    }

    /// An error if a record could not be written.
    pub fn check(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_mean_of_its_batches_and_steps_that_are_made_again_replace_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.jsonl");
        let seal = folder.path().join("seal");
        let record = |steps_done: usize, losses: &[f64]| {
            let recorder = StepRecorder::open(&path, &seal, steps_done, &Job::default()).unwrap();
            for pair in losses.chunks(2) {
                for &loss in pair {
                    recorder.add(&Scalars {
                        values: vec![("loss", loss)],
                        examples: 1,
                    });
                }
                recorder.finish(0.5, 1e-4);
            }
            recorder.check().unwrap();
            let steps: Vec<Map<String, Value>> = files::read_jsonl(&path).unwrap();
            let losses: Vec<f64> = steps
                .iter()
                .map(|step| step["loss"].as_f64().unwrap())
                .collect();
            assert_eq!(steps.last().unwrap()["grad_norm"], 0.5);
            losses
        };
        assert_eq!(record(0, &[1.0, 2.0, 3.0, 5.0]), [1.5, 4.0]);
        assert_eq!(record(1, &[8.0, 9.0]), [1.5, 8.5]);
    }
}
