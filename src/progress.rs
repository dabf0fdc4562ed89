//! How work tells of itself, and how it is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Someone who is told how work goes on; the command line draws it, a library may keep silent.
pub trait Progress: Send + Sync {
    /// A task of `total` units begins.
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task>;
    /// Something worth a line of its own.
    fn note(&self, line: &str);
}

/// A task under way; it ends when it is dropped.
pub trait Task: Send + Sync {
    /// So many more units are done.
    fn advance(&self, units: usize);
    /// What is best shown beside the bar just now.
    fn message(&self, message: &str);
}

/// Tells nobody.
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
    fn message(&self, _message: &str) {}
}

/// What every long job is given: whom to tell, and whether to stop.
#[derive(Clone)]
pub struct Job {
    /// Whom to tell.
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
    /// A job that tells `progress`.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self {
            progress,
            stop: Arc::default(),
        }
    }

    /// The same job, told to nobody: for a part of a task that has a bar already.
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

    /// An error once someone asked the job to stop.
    pub fn check(&self) -> Result<()> {
        if self.stopped() {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
