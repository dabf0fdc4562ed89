//! What lies on disk for a stage: its record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::output::{Kind, Output, seal_of};
use crate::files::Seal;
use crate::{Error, Result};

/// What is known of a stage.
pub(in crate::pipeline) enum Known {
    /// There is no record.
    Nothing,
    /// There is one that cannot be read.
    Damaged,
    /// There is one.
    Record(Record),
}

impl Known {
    /// Whether all of an output is as the program made it; `seals` are the folders that may have seals of it.
    pub(super) fn made(&self, output: &Output, seals: &[PathBuf]) -> Result<bool> {
        match self {
            Self::Nothing | Self::Damaged => Ok(false),
            // Only what a training keeps there is removed.
            Self::Record(_) if output.kind == Kind::Work => Ok(true),
            // The first versions recorded no hashes; nobody edits results.
            Self::Record(record) if record.version.is_empty() && output.kind == Kind::Result => {
                Ok(true)
            }
            Self::Record(record) => {
                for (name, hash) in output.hashes()? {
                    let is_recorded = record.outputs.get(&name) == Some(&hash);
                    if !is_recorded && (record.complete || !is_sealed(output, &name, seals)?) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Whether a half-made file of an output, by the name that records have for it, is as its seal has it.
fn is_sealed(output: &Output, name: &str, seals: &[PathBuf]) -> Result<bool> {
    let below = name.split_once('/').map(|(_, below)| below);
    let path = below.map_or_else(|| output.path.clone(), |below| output.path.join(below));
    for folder in seals {
        if Seal::holds(&seal_of(&path, folder), &path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What lies on disk for a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::pipeline) struct Record {
    /// The version of the program that made the stage.
    #[serde(default)]
    pub(super) version: String,
    /// Whether its files are whole.
    pub(super) complete: bool,
    /// Settings, and hashes of what was read.
    pub(in crate::pipeline) inputs: Map<String, Value>,
    /// Names of models and the like.
    #[serde(default)]
    pub(in crate::pipeline) about: Map<String, Value>,
    /// Hashes of what was written.
    #[serde(default)]
    pub(in crate::pipeline) outputs: BTreeMap<String, String>,
}

impl Record {
    pub(in crate::pipeline) fn read(path: &Path) -> Result<Known> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or(Known::Damaged, Known::Record)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Known::Nothing),
            Err(_) if path.is_dir() => Ok(Known::Damaged),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// The record of a stage that is whole.
    pub(in crate::pipeline) fn complete(path: &Path) -> Result<Option<Self>> {
        match Self::read(path)? {
            Known::Record(record) if record.complete => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Which outputs cannot be used: results that are not as recorded, data that is missing or empty.
    pub(super) fn damaged(&self, outputs: &[Output]) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for output in outputs.iter().filter(|output| output.kind != Kind::Work) {
            let name = output.name();
            let hashes = output.hashes()?;
            let below = format!("{name}/");
            let mut recorded = self
                .outputs
                .iter()
                .filter(|(file, _)| **file == name || file.starts_with(&below))
                .peekable();
            // Records of the first versions have no hashes.
            if hashes.is_empty() && (recorded.peek().is_some() || self.outputs.is_empty()) {
                damaged.push(format!("{name} missing"));
                continue;
            }
            for (file, hash) in recorded {
                match hashes.get(file) {
                    None => damaged.push(format!("{file} missing")),
                    Some(found) if found == hash => {}
                    Some(_) if output.kind == Kind::Result => {
                        damaged.push(format!("{file} damaged"));
                    }
                    Some(_) if fs::metadata(&output.path).is_ok_and(|file| file.len() == 0) => {
                        damaged.push(format!("{file} empty"));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(damaged)
    }
}
