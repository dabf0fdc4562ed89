//! The arguments of a character's training, so that the same training can be run again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::Checkpoint;
use crate::{Result, files};

/// How a character was trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// The folder in which it was, from the output folder; paths are told from there.
    pub(super) folder: String,
    /// What stood behind `train`.
    pub(super) arguments: Vec<String>,
}

impl Recorded {
    fn path(output: &Path, character: &str) -> PathBuf {
        output.join("data").join(character).join("command.json")
    }

    /// Reads what was recorded, if anything was.
    pub(super) fn read(output: &Path, character: &str) -> Result<Option<Self>> {
        let path = Self::path(output, character);
        path.is_file().then(|| files::read_json(&path)).transpose()
    }

    /// The folder in which it was.
    pub(super) fn folder(&self, output: &Path) -> PathBuf {
        output.join(&self.folder)
    }

    /// Records arguments beside what the training has made, unless the same are there.
    ///
    /// What cannot be told as JSON, and addresses with a password in them, are not recorded.
    pub(super) fn write(arguments: Vec<OsString>, output: &Path, character: &str) -> Result<()> {
        let arguments = arguments
            .into_iter()
            .map(|argument| argument.into_string().ok());
        let Some(arguments) = arguments.collect::<Option<Vec<String>>>() else {
            return Ok(());
        };
        let has_password = |argument: &String| {
            let address = argument.split_once("://").map(|(_, rest)| rest);
            address.is_some_and(|rest| rest.split('/').next().unwrap_or(rest).contains('@'))
        };
        let path = Self::path(output, character);
        if !path.parent().is_some_and(Path::is_dir) || arguments.iter().any(has_password) {
            return Ok(());
        }
        let recorded = Self {
            folder: Checkpoint::folder(".").reference(output),
            arguments,
        };
        let there = Self::read(output, character).ok().flatten();
        match there.as_ref() == Some(&recorded) {
            true => Ok(()),
            false => files::write_json(&path, &recorded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_recorded_beside_what_a_training_made_but_no_password_is() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path();
        let write = |arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from);
            Recorded::write(arguments.collect(), output, "Mira").unwrap();
            let read = Recorded::read(output, "Mira").unwrap();
            read.map(|recorded| recorded.arguments)
        };
        let first = ["--character", "Mira", "--seed", "7"];
        assert_eq!(write(&first), None, "nothing was made");
        std::fs::create_dir_all(output.join("data/Mira")).unwrap();
        assert_eq!(write(&first).unwrap(), first);
        assert_eq!(
            write(&["--api-base=https://tom:secret@example.org/v1"]).unwrap(),
            first
        );
    }
}
