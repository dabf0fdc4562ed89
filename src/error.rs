//! The one error type of the crate.
//!
//! A message that advises to change a setting names the config field in backticks; the command line shows the flag instead.

use std::path::{Path, PathBuf};

/// What can go wrong. Messages say what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense; the program ends with exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation that failed: "read", "write", …
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A file was read, but its content cannot be used.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A setting has a value that makes no sense.
    #[error("`{name}` {reason}")]
    Setting {
        /// The setting, as the fields of the configurations are called: `lora_rank`, `character`.
        name: &'static str,
        /// What is wrong with its value: "is 0, but must be at least 1".
        reason: String,
    },
    /// A model needs more memory than there is.
    #[error("{name} needs {needs}, but {free} are free; try {advice}")]
    Memory {
        /// The model.
        name: String,
        /// How much it needs, and what for.
        needs: String,
        /// How much is available.
        free: String,
        /// Which settings would make it less.
        advice: String,
    },
    /// Someone asked the program to stop.
    #[error("stopped; run the same command again to resume")]
    Interrupted,
    /// A chat model could not be asked, or its answers could not be used.
    #[error("{0}")]
    Teacher(String),
    /// A model could not be downloaded from the hub.
    #[error("{0}")]
    Hub(String),
    /// A model computed what cannot be used.
    #[error("{0}")]
    Model(String),
    /// A training run failed.
    #[error("training failed: {0}")]
    Training(String),
    /// The system does not let this process have the threads that it needs.
    #[error("cannot start a thread ({0}); raise the limit with `ulimit -u`, or end other programs")]
    Threads(String),
    /// The program itself is wrong.
    #[error("internal error, please report it: {0}")]
    Fault(String),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code for this error: 2 for a wrong request, 130 for a stop on request, 1 for a failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Setting { .. } => 2,
            Self::Interrupted => 130, // a shell's code for Ctrl-C
            _ => 1,
        }
    }

    /// Makes an error about a setting, named by its config field.
    pub fn setting(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting {
            name,
            reason: reason.into(),
        }
    }

    /// Makes an error about a file that cannot be used.
    pub fn invalid(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// Returns a closure that turns an I/O error into one that names the file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Runs a part of another library that panics on some input; a panic comes back as its message.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .map_err(|panic| panic_text(&*panic))
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "an unknown fault".to_string())
}

/// Whether a terminal obeys a character in place of showing it: controls, separators of lines, and marks that turn the
/// direction of text.
#[cfg(feature = "hub")]
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
