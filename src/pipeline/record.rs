//! When a stage's file can be used as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, files};

/// Where a stage stands on disk: what its files were made from, and whether they are complete.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    inputs: BTreeMap<String, Value>,
    outputs: Vec<PathBuf>,
    complete: bool,
}

#[derive(Serialize, Deserialize)]
struct Record {
    complete: bool,
    inputs: BTreeMap<String, Value>,
}

impl Stage {
    /// Looks at a stage whose record lies at `path`.
    ///
    /// What was made from other inputs, or from unknown ones, is an error, or with `force` thrown away; what was begun with
    /// the same inputs stays, to be gone on with.
    pub fn open(path: &Path, inputs: Value, outputs: &[PathBuf], force: bool) -> Result<Self> {
        let inputs: BTreeMap<String, Value> = match inputs {
            Value::Object(map) => map.into_iter().collect(),
            other => BTreeMap::from([("input".to_string(), other)]),
        };
        let mut stage = Self {
            path: path.to_path_buf(),
            inputs,
            outputs: outputs.to_vec(),
            complete: false,
        };
        let stale = |differs: String| Error::Stale {
            path: outputs.first().map_or(path, PathBuf::as_path).to_path_buf(),
            differs,
        };
        if path.is_file() {
            let record: Record = files::read_json(path)?;
            let differing: Vec<String> = stage
                .inputs
                .iter()
                .filter(|(name, value)| record.inputs.get(*name) != Some(value))
                .map(|(name, value)| match record.inputs.get(name) {
                    Some(old) => format!("{name} {} (now {})", short(old), short(value)),
                    None => format!("no {name} (now {})", short(value)),
                })
                .collect();
            if differing.is_empty() {
                stage.complete = record.complete && outputs.iter().all(|output| output.exists());
            } else if force {
                stage.discard()?;
            } else {
                return Err(stale(differing.join(", ")));
            }
        } else if outputs.iter().any(|output| output.exists()) {
            // The record is always there first: without it nobody knows what these were made from.
            if !force {
                return Err(stale("settings that are not known any more".into()));
            }
            stage.discard()?;
        }
        if !stage.complete {
            stage.record(false)?;
        }
        Ok(stage)
    }

    /// Whether there is nothing left to do.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says that the files are complete.
    pub fn complete(&mut self) -> Result<()> {
        self.complete = true;
        self.record(true)
    }

    fn record(&self, complete: bool) -> Result<()> {
        files::write_json(
            &self.path,
            &Record {
                complete,
                inputs: self.inputs.clone(),
            },
        )
    }

    fn discard(&self) -> Result<()> {
        for output in &self.outputs {
            let removed = if output.is_dir() {
                fs::remove_dir_all(output)
            } else {
                fs::remove_file(output)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", output)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A value for a message: long hashes are cut.
fn short(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_string);
    if text.chars().count() > 40 {
        format!("{}…", text.chars().take(12).collect::<String>())
    } else {
        text
    }
}

/// The SHA-256 of a file's bytes.
pub fn file_hash(path: &Path) -> Result<String> {
    files::checksum(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stage_is_skipped_only_when_complete_and_made_from_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (record, output) = (
            folder.path().join("a.stage.json"),
            folder.path().join("a.jsonl"),
        );
        let outputs = [output.clone()];
        let open = |seed: u64, force| Stage::open(&record, json!({"seed": seed}), &outputs, force);

        fs::write(&output, "0\n").unwrap();
        let error = open(1, false).unwrap_err().to_string();
        assert!(error.contains("not known"), "{error}");
        let mut stage = open(1, true).unwrap();
        assert!(!stage.is_complete() && !output.exists());
        fs::write(&output, "1\n").unwrap();
        assert!(
            !open(1, false).unwrap().is_complete(),
            "begun, but not complete"
        );
        stage.complete().unwrap();
        assert!(open(1, false).unwrap().is_complete());

        let error = open(2, false).unwrap_err().to_string();
        assert!(
            error.contains("seed 1 (now 2)") && error.contains("--force"),
            "{error}"
        );
        assert!(output.exists(), "an error leaves the file");
        assert!(!open(2, true).unwrap().is_complete());
        assert!(!output.exists());
    }
}
