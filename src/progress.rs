//! Progress reports and cancellation of long jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Receives progress reports: the command line draws bars, a library may ignore them.
pub trait Progress: Send + Sync {
    /// Starts a task of `total` units.
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task>;
    /// Reports a message on a line of its own.
    fn note(&self, line: &str);
}

/// A running task; dropping it ends it.
pub trait Task: Send + Sync {
    /// Reports that so many more units are done.
    fn advance(&self, units: usize);
    /// Reports that an earlier run has done so many units, which say nothing of this run's speed.
    fn resume(&self, units: usize);
    /// Sets the text shown beside the bar.
    fn message(&self, message: &str);
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn task(&self, _label: &str, _total: usize, _unit: &'static str) -> Box<dyn Task> {
        Box::new(Self)
    }
    fn note(&self, _line: &str) {}
}

impl Task for Silent {
    fn advance(&self, _units: usize) {}
    fn resume(&self, _units: usize) {}
    fn message(&self, _message: &str) {}
}

/// Given to every long job: where to report progress, and whether to stop.
#[derive(Clone)]
pub struct Job {
    /// Receives the reports.
    pub progress: Arc<dyn Progress>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new(Arc::new(Silent))
    }
}

impl Job {
    /// Makes a job that reports to `progress`.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self {
            progress,
            stop: Arc::default(),
        }
    }

    /// The same job without reports: for a part of a task that already has a bar.
    pub fn quiet(&self) -> Self {
        Self {
            progress: Arc::new(Silent),
            stop: self.stop.clone(),
        }
    }

    /// Asks the job to stop soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked the job to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Returns an error once someone asked the job to stop.
    pub fn check(&self) -> Result<()> {
        if self.stopped() {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
