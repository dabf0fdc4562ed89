//! What a stage reads and writes, and how that stands to what is on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::output::{Kind, Output, move_aside, seal_of};
use super::stored::{Known, Record};
use super::tell_aside;
use crate::files::folder_hash;
use crate::progress::Job;
use crate::{Error, Result, files};

/// A file or folder that a stage reads, under the name that records have for it.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct InputFile {
    pub(in crate::pipeline) name: &'static str,
    pub(in crate::pipeline) path: PathBuf,
}

impl InputFile {
    /// Its hash, if it is there.
    pub(in crate::pipeline) fn hash(&self) -> Result<Option<String>> {
        if self.path.is_dir() {
            folder_hash(&self.path).map(Some)
        } else if self.path.is_file() {
            files::checksum(&self.path).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// What a stage reads and writes.
#[derive(Clone, Debug)]
pub struct StageSpec {
    pub(in crate::pipeline) name: String,
    pub(super) record: PathBuf,
    settings: Map<String, Value>,
    pub(in crate::pipeline) files: Vec<InputFile>,
    pub(in crate::pipeline) outputs: Vec<Output>,
    pub(super) about: Map<String, Value>,
}

impl StageSpec {
    /// A stage of that name, whose record lies at `record`.
    pub fn new(name: &str, record: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_string(),
            record: record.into(),
            settings: Map::new(),
            files: Vec::new(),
            outputs: Vec::new(),
            about: Map::new(),
        }
    }

    /// More inputs that are compared by their values: the fields of an object.
    pub fn with_settings(mut self, settings: Value) -> Self {
        self.settings.extend(fields(settings));
        self
    }

    /// A file or folder that it reads, compared by its hash.
    pub fn reads(mut self, name: &'static str, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.files.push(InputFile { name, path });
        self
    }

    /// A file or folder that it writes; no two have the same name.
    pub fn writes(mut self, output: Output) -> Self {
        self.outputs.push(output);
        self
    }

    /// What the record tells beside its inputs, the fields of an object: names of models and the like, which are not
    /// compared.
    pub fn with_about(mut self, about: Value) -> Self {
        self.about.extend(fields(about));
        self
    }

    /// The inputs as they are now.
    pub(super) fn inputs(&self) -> Result<Map<String, Value>> {
        let mut inputs = self.settings.clone();
        for file in &self.files {
            let hash = file.hash()?.ok_or_else(|| {
                let reason = "is not there, but is needed for what follows from it";
                Error::invalid(&file.path, reason)
            })?;
            inputs.insert(file.name.to_string(), Value::from(hash));
        }
        Ok(inputs)
    }

    /// How the stage's files on disk stand to what would be made now.
    pub(in crate::pipeline) fn look(&self) -> Result<Look> {
        let record = Record::read(&self.record)?;
        let mut look = Look {
            settings: Vec::new(),
            files: Vec::new(),
            damaged: Vec::new(),
            record,
        };
        let Known::Record(record) = &look.record else {
            return Ok(look);
        };
        for (name, value) in &self.settings {
            differences(name, record.inputs.get(name), value, &mut look.settings);
        }
        for (file_idx, file) in self.files.iter().enumerate() {
            let hash = file.hash()?.map(Value::from);
            if hash.is_none() || hash.as_ref() != record.inputs.get(file.name) {
                look.files.push(file_idx);
            }
        }
        if record.complete {
            look.damaged = record.damaged(&self.outputs)?;
        }
        Ok(look)
    }

    /// What differs between the record's settings and these, each as `name old → new`; nothing if there is no record.
    pub fn changed_settings(&self) -> Result<Vec<String>> {
        Ok(self.look()?.settings)
    }

    /// Whether there is a record that can be read.
    pub fn is_recorded(&self) -> Result<bool> {
        Ok(matches!(Record::read(&self.record)?, Known::Record(_)))
    }

    /// Whether there is nothing to do, if what it reads stays as it is.
    pub(in crate::pipeline) fn is_current(&self) -> Result<bool> {
        Ok(self.look()?.is_current())
    }

    /// Whether one of its outputs is this file or folder.
    pub(in crate::pipeline) fn writes_to(&self, path: &Path) -> bool {
        self.outputs.iter().any(|output| output.path == path)
    }

    /// Whether one of its outputs is not as it was made.
    pub(in crate::pipeline) fn is_edited(&self, path: &Path) -> Result<bool> {
        let Some(output) = self.outputs.iter().find(|output| output.path == path) else {
            return Ok(false);
        };
        Ok(!Record::read(&self.record)?.made(output, &self.seals())?)
    }

    /// The folders that may have seals of what is half made: that of the record, and those of checkpoints.
    fn seals(&self) -> Vec<PathBuf> {
        let work = self
            .outputs
            .iter()
            .filter(|output| output.kind == Kind::Work);
        let work = work.map(|output| output.path.clone());
        self.record
            .parent()
            .map(Path::to_path_buf)
            .into_iter()
            .chain(work)
            .collect()
    }

    /// Removes the seals beside the record: what they were of is whole, or gone.
    pub(super) fn remove_seals(&self) -> Result<()> {
        let folder = self.record.parent().unwrap_or(Path::new("."));
        for output in &self.outputs {
            let seal = seal_of(&output.path, folder);
            if seal.is_file() {
                fs::remove_file(&seal).map_err(Error::io("remove", &seal))?;
            }
        }
        Ok(())
    }

    /// Removes what the program made, and moves aside what it did not.
    pub(super) fn clear(&self, known: &Known, job: &Job) -> Result<()> {
        // A record that cannot be read may be somebody's own file of that name.
        if let Known::Damaged = known {
            let aside = move_aside(&self.record)?;
            job.progress.note(&format!(
                "{} is no record of this program: moved to {}",
                self.record.display(),
                aside.display()
            ));
        }
        // Before the seals among the checkpoints are removed.
        let seals = self.seals();
        let made = self.outputs.iter().map(|output| known.made(output, &seals));
        let made: Vec<bool> = made.collect::<Result<_>>()?;
        for (output_idx, output) in self.outputs.iter().enumerate() {
            if !output.path.exists() {
                continue;
            }
            if made[output_idx] {
                output.remove()?;
            }
            if !output.path.exists() {
                continue;
            }
            tell_aside(&output.path, job)?;
        }
        self.remove_seals()
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("input".to_string(), other)]),
    }
}

/// What a stage's files on disk are, beside what would be made now.
pub(in crate::pipeline) struct Look {
    pub(in crate::pipeline) record: Known,
    /// Settings that differ, each as `name old → new`.
    pub(in crate::pipeline) settings: Vec<String>,
    /// Places of the input files that differ.
    pub(in crate::pipeline) files: Vec<usize>,
    /// Outputs that are missing or damaged, each told in words.
    pub(in crate::pipeline) damaged: Vec<String>,
}

impl Look {
    fn has_same_inputs(&self) -> bool {
        self.settings.is_empty() && self.files.is_empty()
    }

    /// Whether the stage is whole.
    pub(in crate::pipeline) fn is_current(&self) -> bool {
        self.is_complete() && self.has_same_inputs() && self.damaged.is_empty()
    }

    /// Whether the stage was whole once.
    pub(in crate::pipeline) fn is_complete(&self) -> bool {
        matches!(&self.record, Known::Record(record) if record.complete)
    }

    /// Whether the stage was begun from these inputs, and stopped.
    pub(super) fn is_begun(&self) -> bool {
        matches!(&self.record, Known::Record(record) if !record.complete) && self.has_same_inputs()
    }
}

pub(super) const OLDER: &str = "made by an older version";

/// Tells how a value differs from the recorded one, field by field.
pub(super) fn differences(name: &str, old: Option<&Value>, new: &Value, told: &mut Vec<String>) {
    match (old, new) {
        (Some(old), new) if old == new => {}
        (Some(Value::Object(old)), Value::Object(new)) => {
            for (field, value) in new {
                differences(&format!("{name}_{field}"), old.get(field), value, told);
            }
        }
        (Some(old), new) => match (short(old), short(new)) {
            (Some(old), Some(new)) => told.push(format!("{name} {old} → {new}")),
            _ => told.push(format!("{name} changed")),
        },
        // A version that did not have this setting; there may be many of them.
        (None, _) if told.iter().any(|told| told == OLDER) => {}
        (None, _) => told.push(OLDER.to_string()),
    }
}

/// A value as a message shows it; hashes and lists tell nobody anything.
fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::Array(_) | Value::Object(_) => return None,
        Value::Null => "none".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (text.chars().count() <= 40).then_some(text)
}
