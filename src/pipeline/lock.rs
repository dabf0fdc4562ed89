//! One run at a time works on a character, or on a folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::pipeline::layout::Layout;
use crate::{Error, Result, files};

/// Holds files for one run; the system lets go of them when the run ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held open until it is dropped")] File);

impl Lock {
    /// Takes the lock file at `path`, which stands for the folder `holds`.
    ///
    /// # Errors
    ///
    /// Another run that has it, and a folder that cannot be written.
    pub(super) fn take(path: &Path, holds: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            files::create_dir(folder)?;
        }
        let created = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        // On a read-only disk, a complete run can still be read.
        let mut file = created
            .or_else(|error| File::open(path).map_err(|_| error))
            .map_err(Error::io("lock", path))?;
        files::lock(&file, path, holds, files::WAIT)?;
        // Whose lock it is, for people; nothing reads it.
        let _ = writeln!(file, "{:<10}", std::process::id());
        Ok(Self(file))
    }

    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Another run that has it, and a folder that cannot be made.
    pub fn folder(folder: &Path) -> Result<Self> {
        files::lock_folder(folder).map(Self)
    }

    /// Takes the files of a character in `output`, if there are any.
    ///
    /// # Errors
    ///
    /// Another run that has them.
    pub fn character(output: &Path, character: &str) -> Result<Option<Self>> {
        let layout = Layout::new(output, character);
        let is_there = layout.data.is_dir();
        is_there
            .then(|| Self::take(&layout.lock(), &layout.data))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_cannot_be_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stages/lock");
        let held = Lock::take(&path, folder.path()).unwrap();
        let error = Lock::take(&path, folder.path()).unwrap_err().to_string();
        assert!(error.contains("another run is at work"), "{error}");
        drop(held);
        Lock::take(&path, folder.path()).unwrap();
        let held = Lock::folder(folder.path()).unwrap();
        assert!(Lock::folder(folder.path()).is_err());
        drop(held);
        Lock::folder(folder.path()).unwrap();
    }
}
