//! The files that a stage writes: what becomes of each when somebody has edited it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::progress::Job;
use crate::train::StepRecorder;
use crate::{Error, Result, files};

/// A file or folder that a stage writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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

    pub(super) fn name(&self) -> String {
        name_of(&self.path)
    }

    /// The hashes of its files, by the output's name and, in a folder, their paths in it.
    pub(super) fn hashes(&self) -> Result<BTreeMap<String, String>> {
        let mut hashes = BTreeMap::new();
        if self.kind != Kind::Work {
            hash_below(&self.path, &self.name(), &mut hashes)?;
        }
        Ok(hashes)
    }

    /// Removes files that a run which was killed had not finished.
    pub(super) fn sweep(&self) -> Result<()> {
        if !self.path.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.path).map_err(Error::io("read", &self.path))? {
            let entry = entry.map_err(Error::io("read", &self.path))?.path();
            if files::is_temporary(&entry) && entry.is_file() {
                fs::remove_file(&entry).map_err(Error::io("remove", &entry))?;
            }
        }
        Ok(())
    }

    /// Removes it, but what nobody knows in a folder of checkpoints.
    pub(super) fn remove(&self) -> Result<()> {
        if self.kind == Kind::Work && self.path.is_dir() {
            return remove_checkpoints(&self.path);
        }
        let removed = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        removed.map_err(Error::io("remove", &self.path))
    }
}

/// Removes the files below a folder that a training keeps while it runs, and folders that are empty then.
fn remove_checkpoints(folder: &Path) -> Result<()> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let (path, kind) = (
            entry.path(),
            entry.file_type().map_err(Error::io("read", folder))?,
        );
        if kind.is_dir() {
            remove_checkpoints(&path)?;
        } else if kind.is_file() && is_checkpoint(&path) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        is_empty &= !path.exists();
    }
    if is_empty {
        fs::remove_dir(folder).map_err(Error::io("remove", folder))?;
    }
    Ok(())
}

/// Whether a file's name is one of those that a training keeps while it runs.
fn is_checkpoint(path: &Path) -> bool {
    let name = name_of(path);
    let stem = name
        .strip_suffix(".bpk")
        .and_then(|stem| stem.split_once('-'));
    let is_epoch = stem.is_some_and(|(part, epoch)| {
        ["model", "optim", "scheduler"].contains(&part) && epoch.parse::<usize>().is_ok()
    });
    let known = ["metrics.jsonl", "accuracies.json"].contains(&name.as_str());
    is_epoch || known || name.ends_with(SEAL) || files::is_temporary(path)
}

/// How the names of seals end.
pub(in crate::pipeline) const SEAL: &str = ".seal.json";

/// The place of the seal of a file that is half made, in the folder of its stage's records or checkpoints.
pub(in crate::pipeline) fn seal_of(path: &Path, folder: &Path) -> PathBuf {
    folder.join(name_of(path) + SEAL)
}

/// Opens the record of a training's optimizer steps, `steps.jsonl` in the folder of its result; its seal is in the folder of
/// its checkpoints.
pub(in crate::pipeline) fn open_steps(
    output: &Path,
    work: &Path,
    steps_done: usize,
    job: &Job,
) -> Result<Arc<StepRecorder>> {
    let path = output.join("steps.jsonl");
    StepRecorder::open(&path, &seal_of(&path, work), steps_done, job).map(Arc::new)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn hash_below(path: &Path, name: &str, hashes: &mut BTreeMap<String, String>) -> Result<()> {
    if path.is_file() {
        hashes.insert(name.to_string(), files::checksum(path)?);
    } else if path.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
            let entry = entry.map_err(Error::io("read", path))?.path();
            if files::is_temporary(&entry) {
                continue;
            }
            hash_below(&entry, &format!("{name}/{}", name_of(&entry)), hashes)?;
        }
    }
    Ok(())
}

/// Renames a file or folder to a free name beside it, `name.edited-1.ending`, and returns that.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf> {
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
