//! Characters are changed while the server speaks for them: their statements, and a training in the background.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::state::Cast;
use crate::error::guarded;
use crate::pipeline::Report;
use crate::progress::{Job, Progress, Task};
use crate::{Error, Result};

/// Where characters are kept, and who trains them.
pub trait Workshop: Debug + Send + Sync {
    /// The character as it is kept now.
    ///
    /// # Errors
    ///
    /// Files that cannot be used.
    fn cast(&self, character: &str, job: &Job) -> Result<Cast>;

    /// Why its statements cannot be changed, if they cannot.
    fn locked(&self, character: &str) -> Option<String>;

    /// Whether its adapter was trained on other statements than those that it has now.
    ///
    /// # Errors
    ///
    /// Files that cannot be read.
    fn is_stale(&self, character: &str) -> Result<bool>;

    /// What is wrong with a statement, if anything is.
    fn fault(&self, character: &str, statement: &str) -> Option<String>;

    /// Writes other statements in place of its own.
    ///
    /// # Errors
    ///
    /// A training that is at work on it, and files that cannot be written.
    fn write_statements(&self, character: &str, statements: &[String]) -> Result<()>;

    /// Trains it in the way in which it was trained before.
    ///
    /// # Errors
    ///
    /// As [`train`](crate::pipeline::train).
    fn train(&self, character: &str, job: &Job) -> Result<()>;

    /// What its last training has made.
    ///
    /// # Errors
    ///
    /// Files that cannot be read.
    fn report(&self, character: &str) -> Result<Report>;
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TrainingState {
    None,
    Running,
    Done,
    Failed,
    Stopped,
}

/// What is told of a training.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Training {
    object: &'static str,
    pub(super) state: TrainingState,
    label: Option<String>,
    done: Option<usize>,
    total: Option<usize>,
    unit: Option<&'static str>,
    seconds: f64,
    pub(super) notes: Vec<String>,
    pub(super) message: Option<String>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            object: "training",
            state: TrainingState::None,
            label: None,
            done: None,
            total: None,
            unit: None,
            seconds: 0.0,
            notes: Vec::new(),
            message: None,
        }
    }
}

/// Why a training was not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// One of this character is running.
    Running(String),
    Failed(Error),
}

/// The one training that may run, or the last one that did.
#[derive(Debug, Default)]
pub(super) struct Bench {
    now: Mutex<Option<OnBench>>,
}

#[derive(Debug)]
struct OnBench {
    character: String,
    told: Arc<Mutex<Training>>,
    job: Job,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bench {
    /// Begins a training unless one is running; `work` is given the job that tells of it.
    ///
    /// # Errors
    ///
    /// Another one that is running, and a system without a thread for it.
    pub(super) fn begin(
        &self,
        character: &str,
        work: impl FnOnce(&Job) -> Result<()> + Send + 'static,
    ) -> Result<Training, NotBegun> {
        let mut now = lock(&self.now);
        if let Some(other) = now.as_ref().filter(|other| other.is_running()) {
            return Err(NotBegun::Running(other.character.clone()));
        }
        let told = Arc::new(Mutex::new(Training {
            state: TrainingState::Running,
            ..Training::default()
        }));
        let watch = Watch {
            told: told.clone(),
            started: Instant::now(),
        };
        let job = Job::new(Arc::new(watch));
        let (own, heard) = (job.clone(), told.clone());
        let thread = std::thread::Builder::new()
            .name("training".to_string())
            .spawn(move || {
                let started = Instant::now();
                let ended = guarded(|| work(&own)).unwrap_or_else(|fault| Err(Error::Fault(fault)));
                let mut told = lock(&heard);
                told.seconds = started.elapsed().as_secs_f64();
                (told.state, told.message) = match ended {
                    Ok(()) => (TrainingState::Done, None),
                    Err(Error::Interrupted) => (TrainingState::Stopped, None),
                    Err(error) => (TrainingState::Failed, Some(error.to_string())),
                };
            })
            .map_err(|error| NotBegun::Failed(Error::Threads(error.to_string())))?;
        let begun = lock(&told).clone();
        *now = Some(OnBench {
            character: character.to_string(),
            told,
            job,
            thread: Some(thread),
        });
        Ok(begun)
    }

    /// What is told of the last training of a character.
    pub(super) fn told(&self, character: &str) -> Training {
        let now = lock(&self.now);
        let own = now.as_ref().filter(|on| on.character == character);
        own.map_or_else(Training::default, |on| lock(&on.told).clone())
    }

    /// Stops a character's training soon; what it has done stays.
    pub(super) fn stop(&self, character: &str) -> Training {
        if let Some(on) = lock(&self.now)
            .as_ref()
            .filter(|on| on.character == character)
        {
            on.job.stop();
        }
        self.told(character)
    }

    /// Stops whatever runs, and waits for its end.
    pub(super) fn close(&self) {
        let on = lock(&self.now).take();
        if let Some(mut on) = on {
            on.job.stop();
            // What it had to say was told.
            let _ = on.thread.take().map(std::thread::JoinHandle::join);
        }
    }
}

impl OnBench {
    fn is_running(&self) -> bool {
        lock(&self.told).state == TrainingState::Running
    }
}

/// Hears what a training reports.
struct Watch {
    told: Arc<Mutex<Training>>,
    started: Instant,
}

impl Progress for Watch {
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task> {
        let mut told = lock(&self.told);
        told.label = Some(label.to_string());
        (told.done, told.total, told.unit) = (Some(0), Some(total), Some(unit));
        told.seconds = self.started.elapsed().as_secs_f64();
        Box::new(Self {
            told: self.told.clone(),
            started: self.started,
        })
    }

    fn note(&self, line: &str) {
        /// Lines that are kept.
        const MOST: usize = 20;
        let mut told = lock(&self.told);
        told.notes.push(line.to_string());
        let surplus = told.notes.len().saturating_sub(MOST);
        told.notes.drain(..surplus);
    }
}

impl Task for Watch {
    fn advance(&self, units: usize) {
        let mut told = lock(&self.told);
        told.done = Some(told.done.unwrap_or(0) + units);
        told.seconds = self.started.elapsed().as_secs_f64();
    }

    fn resume(&self, units: usize) {
        self.advance(units);
    }

    fn message(&self, _message: &str) {}
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn ended(bench: &Bench) -> Training {
        loop {
            let told = bench.told("Mira");
            if told.state != TrainingState::Running {
                return told;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_training_runs_at_a_time_and_tells_how_far_it_is() {
        let bench = Bench::default();
        assert_eq!(bench.told("Mira").state, TrainingState::None);
        let (go_on, wait) = channel();
        let begun = bench.begin("Mira", move |job| {
            let task = job.progress.task("DPO", 7, "batches");
            task.advance(3);
            job.progress.note("a line");
            wait.recv().unwrap();
            Ok(())
        });
        assert_eq!(begun.unwrap().state, TrainingState::Running);
        let other = bench.begin("Ben", |_| Ok(())).unwrap_err();
        assert!(matches!(other, NotBegun::Running(name) if name == "Mira"));
        assert_eq!(bench.told("Ben").state, TrainingState::None);
        go_on.send(()).unwrap();
        let told = ended(&bench);
        assert_eq!(told.state, TrainingState::Done);
        assert_eq!((told.done, told.total), (Some(3), Some(7)));
        assert_eq!(told.notes, ["a line"]);
        bench
            .begin("Mira", |_| Err(Error::Model("it broke".into())))
            .unwrap();
        let told = ended(&bench);
        assert_eq!(told.state, TrainingState::Failed);
        assert_eq!(told.message.as_deref(), Some("it broke"));
    }

    #[test]
    fn a_training_is_stopped_when_asked_and_a_crash_is_its_own() {
        let bench = Bench::default();
        let until_stopped = |job: &Job| loop {
            job.check()?;
            std::thread::yield_now();
        };
        bench.begin("Mira", until_stopped).unwrap();
        bench.stop("Ben");
        assert_eq!(bench.told("Mira").state, TrainingState::Running);
        bench.stop("Mira");
        assert_eq!(ended(&bench).state, TrainingState::Stopped);
        bench.begin("Mira", |_| panic!("a fault")).unwrap();
        let told = ended(&bench);
        assert_eq!(told.state, TrainingState::Failed);
        assert!(told.message.unwrap().contains("a fault"));
        bench.begin("Mira", until_stopped).unwrap();
        bench.close();
    }
}
