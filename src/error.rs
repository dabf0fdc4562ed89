//! The one error type of the crate.
//!
//! A message that advises to change a setting names it as the settings do, in backticks; the command line shows the flag.

use std::path::{Path, PathBuf};

/// What can go wrong, told so that the reader knows what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense; the program ends with exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", …
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file was read, but what it says cannot be used.
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
    #[error("{name} needs {needs}, but {free} are free")]
    Memory {
        /// The model.
        name: String,
        /// How much, and what for.
        needs: String,
        /// How much there is.
        free: String,
        /// Whether it was to be trained on.
        training: bool,
    },
    /// Someone asked the program to stop.
    #[error("stopped; run the same command again, it goes on from what is kept")]
    Interrupted,
    /// A chat model could not be asked, or its answers could not be used.
    #[error("{0}")]
    Teacher(String),
    /// A model could not be had from the hub.
    #[error("{0}")]
    Hub(String),
    /// A training run failed.
    #[error("training failed: {0}")]
    Training(String),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code for this error: 2 for a wrong request, 130 for a stop on request, 1 for a failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Setting { .. } => 2,
            Self::Interrupted => 130, // as a shell tells of Ctrl-C
            _ => 1,
        }
    }

    /// A setting that makes no sense, by its name in the settings.
    pub fn setting(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting {
            name,
            reason: reason.into(),
        }
    }

    /// An unusable file.
    pub fn invalid(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// A closure that names the file in an input or output error.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
