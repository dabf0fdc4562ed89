//! Records of stages: what a stage's files were made from, and when they can be used as they are.
//!
//! A record is written before a stage begins and again when its files are whole. It holds the hashes of what the stage
//! read and of what it wrote:
//!
//! - Other inputs than those recorded: the stage is made again. What of its files is as recorded is removed; what is
//!   not, somebody has edited or put there, and it is moved aside.
//! - The same inputs, not whole: the stage goes on where it stopped.
//! - The same inputs, whole: nothing is done. [`Output::data`] that was edited since is used as it is; an
//!   [`Output::result`] that is not as recorded is damaged, and the stage is made again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::pipeline::hashes::{file_hash, folder_hash};
use crate::progress::Job;
use crate::{Error, Result, files};

/// A file or folder that a stage writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Result,
    Work,
}

impl Output {
    /// A file that people may edit: later stages use it as it is.
    pub fn data(path: impl Into<PathBuf>) -> Self {
        let (path, kind) = (path.into(), Kind::Data);
        Self { path, kind }
    }

    /// A file or folder that nobody edits.
    pub fn result(path: impl Into<PathBuf>) -> Self {
        let (path, kind) = (path.into(), Kind::Result);
        Self { path, kind }
    }

    /// Checkpoints and the like, which matter only until the stage is whole.
    pub fn work(path: impl Into<PathBuf>) -> Self {
        let (path, kind) = (path.into(), Kind::Work);
        Self { path, kind }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self) -> String {
        name_of(&self.path)
    }

    /// The hashes of its files, by the output's name and, in a folder, their paths in it.
    fn hashes(&self) -> Result<BTreeMap<String, String>> {
        let mut hashes = BTreeMap::new();
        if self.kind != Kind::Work {
            hash_below(&self.path, &self.name(), &mut hashes)?;
        }
        Ok(hashes)
    }

    fn remove(&self) -> Result<()> {
        let removed = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        removed.map_err(Error::io("remove", &self.path))
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn hash_below(path: &Path, name: &str, hashes: &mut BTreeMap<String, String>) -> Result<()> {
    if path.is_file() {
        hashes.insert(name.to_string(), file_hash(path)?);
    } else if path.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
            let entry = entry.map_err(Error::io("read", path))?.path();
            hash_below(&entry, &format!("{name}/{}", name_of(&entry)), hashes)?;
        }
    }
    Ok(())
}

/// A file or folder that a stage reads, under the name that records have for it.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
}

impl InputFile {
    /// Its hash, if it is there.
    pub(super) fn hash(&self) -> Result<Option<String>> {
        if self.path.is_dir() {
            folder_hash(&self.path).map(Some)
        } else if self.path.is_file() {
            file_hash(&self.path).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// What a stage reads and writes.
#[derive(Clone, Debug)]
pub struct StageSpec {
    pub(super) name: String,
    record: PathBuf,
    settings: Map<String, Value>,
    pub(super) files: Vec<InputFile>,
    pub(super) outputs: Vec<Output>,
    about: Map<String, Value>,
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
    fn inputs(&self) -> Result<Map<String, Value>> {
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
    pub(super) fn look(&self) -> Result<Look> {
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

    /// Whether there is nothing to do, if what it reads stays as it is.
    pub(super) fn is_current(&self) -> Result<bool> {
        Ok(self.look()?.is_current())
    }

    /// Whether one of its outputs is this file or folder.
    pub(super) fn writes_to(&self, path: &Path) -> bool {
        self.outputs.iter().any(|output| output.path == path)
    }

    /// Whether one of its outputs is not as it was made.
    pub(super) fn is_edited(&self, path: &Path) -> Result<bool> {
        let Some(output) = self.outputs.iter().find(|output| output.path == path) else {
            return Ok(false);
        };
        Ok(!Record::read(&self.record)?.made(output)?)
    }

    /// Removes what the program made, and moves aside what it did not.
    fn clear(&self, known: &Known, job: &Job) -> Result<()> {
        for output in &self.outputs {
            if !output.path.exists() {
                continue;
            }
            if known.made(output)? {
                output.remove()?;
                continue;
            }
            let aside = move_aside(&output.path)?;
            job.progress.note(&format!(
                "{} is not as the program made it: moved to {}",
                output.path.display(),
                aside.display()
            ));
        }
        Ok(())
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("input".to_string(), other)]),
    }
}

/// Renames a file or folder to a free name beside it, `name.edited-1.ending`, and returns that.
fn move_aside(path: &Path) -> Result<PathBuf> {
    let (stem, ending) = match path.extension() {
        Some(ending) if path.is_file() => (
            path.file_stem().unwrap_or_default().to_string_lossy(),
            format!(".{}", ending.to_string_lossy()),
        ),
        _ => (
            path.file_name().unwrap_or_default().to_string_lossy(),
            String::new(),
        ),
    };
    let mut number = 1;
    loop {
        let aside = path.with_file_name(format!("{stem}.edited-{number}{ending}"));
        if !aside.exists() {
            fs::rename(path, &aside).map_err(Error::io("move", path))?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// What a stage's files on disk are, beside what would be made now.
pub(super) struct Look {
    pub(super) record: Known,
    /// Settings that differ, each as `name old → new`.
    pub(super) settings: Vec<String>,
    /// Places of the input files that differ.
    pub(super) files: Vec<usize>,
    /// Outputs that are missing or damaged, each told in words.
    pub(super) damaged: Vec<String>,
}

impl Look {
    fn has_same_inputs(&self) -> bool {
        self.settings.is_empty() && self.files.is_empty()
    }

    /// Whether the stage is whole.
    pub(super) fn is_current(&self) -> bool {
        self.is_complete() && self.has_same_inputs() && self.damaged.is_empty()
    }

    /// Whether the stage was whole once.
    pub(super) fn is_complete(&self) -> bool {
        matches!(&self.record, Known::Record(record) if record.complete)
    }

    /// Whether the stage was begun from these inputs, and stopped.
    fn is_begun(&self) -> bool {
        matches!(&self.record, Known::Record(record) if !record.complete) && self.has_same_inputs()
    }
}

/// What is known of a stage.
pub(super) enum Known {
    /// There is no record.
    Nothing,
    /// There is one that cannot be read.
    Damaged,
    /// There is one.
    Record(Record),
}

impl Known {
    /// Whether all of an output is as the program made it.
    fn made(&self, output: &Output) -> Result<bool> {
        match self {
            Self::Nothing => Ok(false),
            Self::Damaged => Ok(output.kind == Kind::Work),
            Self::Record(record) if !record.complete || output.kind == Kind::Work => Ok(true),
            // The first versions recorded no hashes; nobody edits results.
            Self::Record(record) if record.version.is_empty() && output.kind == Kind::Result => {
                Ok(true)
            }
            Self::Record(record) => {
                let hashes = output.hashes()?;
                let as_made = |(name, hash)| record.outputs.get(name) == Some(hash);
                Ok(hashes.iter().all(as_made))
            }
        }
    }
}

/// What lies on disk for a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version of the program that made the stage.
    #[serde(default)]
    version: String,
    /// Whether its files are whole.
    complete: bool,
    /// Settings, and hashes of what was read.
    pub(super) inputs: Map<String, Value>,
    /// Names of models and the like.
    #[serde(default)]
    pub(super) about: Map<String, Value>,
    /// Hashes of what was written.
    #[serde(default)]
    pub(super) outputs: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn read(path: &Path) -> Result<Known> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or(Known::Damaged, Known::Record)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Known::Nothing),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// The record of a stage that is whole.
    pub(super) fn complete(path: &Path) -> Result<Option<Self>> {
        match Self::read(path)? {
            Known::Record(record) if record.complete => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Which outputs cannot be used: results that are not as recorded, data that is missing or empty.
    fn damaged(&self, outputs: &[Output]) -> Result<Vec<String>> {
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

const OLDER: &str = "made by an older version";

/// Tells how a value differs from the recorded one, field by field.
fn differences(name: &str, old: Option<&Value>, new: &Value, told: &mut Vec<String>) {
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

/// A stage under way or whole.
#[derive(Debug)]
pub struct Stage {
    spec: StageSpec,
    inputs: Map<String, Value>,
    complete: bool,
}

impl Stage {
    /// Looks at what is there of a stage and makes room for what is to be made, with `anew` all of it; see the
    /// [module](self).
    ///
    /// # Errors
    ///
    /// A file that the stage reads and that is not there; what cannot be read, moved, removed or written.
    pub fn open(spec: StageSpec, anew: bool, job: &Job) -> Result<Self> {
        let look = spec.look()?;
        let inputs = spec.inputs()?;
        let complete = !anew && look.is_current();
        if !complete && (anew || !look.is_begun()) {
            spec.clear(&look.record, job)?;
        }
        let stage = Self {
            spec,
            inputs,
            complete,
        };
        if !complete {
            stage.write(BTreeMap::new())?;
        }
        Ok(stage)
    }

    /// Whether there is nothing left to do.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says that the files are whole.
    pub fn complete(&mut self) -> Result<()> {
        let mut outputs = BTreeMap::new();
        for output in &self.spec.outputs {
            outputs.extend(output.hashes()?);
        }
        self.complete = true;
        self.write(outputs)
    }

    fn write(&self, outputs: BTreeMap<String, String>) -> Result<()> {
        files::write_json(
            &self.spec.record,
            &Record {
                version: env!("CARGO_PKG_VERSION").to_string(),
                complete: self.complete,
                inputs: self.inputs.clone(),
                about: self.spec.about.clone(),
                outputs,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn spec(&self, seed: u64) -> StageSpec {
            StageSpec::new("a", self.path("a.json"))
                .with_settings(json!({"seed": seed, "page": "0".repeat(64)}))
                .writes(Output::data(self.path("a.jsonl")))
                .writes(Output::result(self.path("b")))
                .writes(Output::work(self.path("work")))
        }

        fn open(&self, seed: u64) -> Stage {
            Stage::open(self.spec(seed), false, &Job::default()).unwrap()
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.path(name)).ok()
        }

        /// Makes the stage with these texts.
        fn make(&self, seed: u64) {
            let mut stage = self.open(seed);
            assert!(!stage.is_complete());
            self.write("a.jsonl", "made\n");
            self.write("b/weights", "made");
            self.write("work/checkpoint", "made");
            stage.complete().unwrap();
        }
    }

    #[test]
    fn a_stage_is_skipped_when_whole_goes_on_when_begun_and_is_made_again_when_its_inputs_changed()
    {
        let folder = Folder::new();
        folder.make(1);
        assert!(folder.open(1).is_complete());
        fs::remove_dir_all(folder.path("work")).unwrap();
        assert!(
            folder.open(1).is_complete(),
            "checkpoints have done their part"
        );

        let told = folder.spec(2).changed_settings().unwrap();
        assert_eq!(told, ["seed 1 → 2"]);
        assert!(!folder.open(2).is_complete());
        assert_eq!(
            (folder.read("a.jsonl"), folder.read("b/weights")),
            (None, None)
        );
        folder.write("a.jsonl", "half");
        assert!(!folder.open(2).is_complete());
        assert_eq!(
            folder.read("a.jsonl").unwrap(),
            "half",
            "begun, so it goes on"
        );
        assert!(!folder.open(1).is_complete());
        assert_eq!(folder.read("a.jsonl"), None, "begun from something else");
    }

    #[test]
    fn an_edit_is_used_while_the_inputs_are_the_same_and_moved_aside_when_the_stage_is_made_again()
    {
        let folder = Folder::new();
        folder.make(1);
        folder.write("a.jsonl", "edited\n");
        assert!(folder.open(1).is_complete());
        assert_eq!(folder.read("a.jsonl").unwrap(), "edited\n");
        for (seed, aside) in [(2, "a.edited-1.jsonl"), (3, "a.edited-2.jsonl")] {
            folder.make(seed);
            assert_eq!(folder.read(aside).unwrap(), "edited\n");
            folder.write("a.jsonl", "edited\n");
        }
    }

    #[test]
    fn a_damaged_result_a_missing_file_and_a_damaged_record_are_made_again() {
        let folder = Folder::new();
        folder.make(1);
        folder.write("b/weights", "cut");
        assert_eq!(
            folder.spec(1).look().unwrap().damaged,
            ["b/weights damaged"]
        );
        folder.make(1);
        assert_eq!(folder.read("b.edited-1/weights").unwrap(), "cut");
        assert_eq!(folder.read("a.edited-1.jsonl"), None, "it was as made");

        fs::remove_file(folder.path("b/weights")).unwrap();
        folder.make(1);
        folder.write("a.jsonl", "");
        folder.make(1);
        folder.write("a.json", "{\"comp");
        folder.make(1);
        assert_eq!(folder.read("a.edited-2.jsonl").unwrap(), "made\n");
        assert!(folder.open(1).is_complete());
    }

    #[test]
    fn what_the_program_did_not_make_is_never_removed() {
        let folder = Folder::new();
        folder.write("a.jsonl", "mine");
        folder.write("work/notes", "mine");
        folder.make(1);
        assert_eq!(folder.read("a.edited-1.jsonl").unwrap(), "mine");
        assert_eq!(folder.read("work.edited-1/notes").unwrap(), "mine");

        folder.write("b/notes", "mine");
        assert!(folder.open(1).is_complete(), "it does no harm there");
        Stage::open(folder.spec(1), true, &Job::default()).unwrap();
        assert_eq!(folder.read("b.edited-1/notes").unwrap(), "mine");
        assert_eq!(folder.read("a.jsonl"), None);
    }

    #[test]
    fn records_have_the_version_and_hashes_and_no_absolute_path() {
        let folder = Folder::new();
        folder.make(1);
        let record: Value = files::read_json(&folder.path("a.json")).unwrap();
        assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(record["outputs"]["b/weights"], files::checksum_of("made"));
        assert_eq!(record["outputs"].as_object().unwrap().len(), 2);
        let text = folder.read("a.json").unwrap();
        assert!(!text.contains(folder.0.path().to_str().unwrap()), "{text}");
    }

    #[test]
    fn differences_are_told_field_by_field() {
        let mut told = Vec::new();
        let old = json!({"rank": 2, "alpha": 2.0, "names": ["a"]});
        let new = json!({"rank": 3, "alpha": 2.0, "names": ["a", "b"]});
        differences("lora", Some(&old), &new, &mut told);
        differences(
            "page",
            Some(&json!("0".repeat(64))),
            &json!("1".repeat(64)),
            &mut told,
        );
        differences("dtype", None, &json!("float32"), &mut told);
        differences("shuffle", None, &json!(true), &mut told);
        let wanted = ["lora_rank 2 → 3", "lora_names changed", "page changed"];
        assert_eq!(told[..3], wanted);
        assert_eq!(told[3..], [OLDER]);
    }
}
