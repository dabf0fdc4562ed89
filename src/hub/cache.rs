//! A model's place in the cache that Hugging Face's Python library shares.
//!
//! ```text
//! models--owner--name/blobs/<checksum>            the files
//! models--owner--name/snapshots/<commit>/<file>   links to them
//! models--owner--name/refs/<revision>             the commit of a branch
//! .locks/models--owner--name/<checksum>.lock      who downloads a file
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, CacheRepo};

use super::name::{Name, is_hex};
use crate::progress::Job;
use crate::{Error, Result, files};

/// Makes a link at the second path that leads to the first.
pub(super) type Symlink = fn(&Path, &Path) -> io::Result<()>;

/// Makes a symbolic link, where the system has them.
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, link);
    #[cfg(not(any(unix, windows)))]
    return no_symlink(target, link);
}

/// Makes no link: files are put where links would be.
pub(super) fn no_symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A commit of a model in the cache.
#[derive(Debug)]
pub(super) struct Snapshot {
    cache: PathBuf,
    folder_name: String,
    /// Where the files of the commit are.
    pub(super) folder: PathBuf,
    symlink: Symlink,
}

/// A lock on one file's download, until it is dropped.
pub(super) struct Lock {
    _file: Option<File>,
}

/// Returns the folder of a revision, which may be a commit, if the cache has it.
pub(super) fn find(cache: &Path, name: &Name) -> Option<PathBuf> {
    let cached = repo(cache, name, &name.revision);
    let of_branch = ["config.json", "adapter_config.json"]
        .iter()
        .find_map(|file| Some(cached.get(file)?.parent()?.to_path_buf()));
    let of_commit = || {
        let folder = cached.pointer_path(&name.revision);
        (is_hex(&name.revision) && folder.is_dir()).then_some(folder)
    };
    of_branch.or_else(of_commit)
}

/// Writes the commit of a branch to `refs/`, atomically.
pub(super) fn point(cache: &Path, name: &Name, commit: &str) -> Result<()> {
    if name.revision == commit {
        return Ok(());
    }
    let folder = cache.join(name.at(commit).folder_name());
    let path = folder.join("refs").join(&name.revision);
    files::write(&path, commit.as_bytes())
}

fn repo(cache: &Path, name: &Name, revision: &str) -> CacheRepo {
    Cache::new(cache.to_path_buf()).repo(name.at(revision))
}

impl Snapshot {
    /// The commit's place, whether or not anything is there.
    pub(super) fn new(cache: &Path, name: &Name, commit: &str, symlink: Symlink) -> Self {
        Self {
            cache: cache.to_path_buf(),
            folder_name: name.at(commit).folder_name(),
            folder: repo(cache, name, commit).pointer_path(commit),
            symlink,
        }
    }

    /// Where a file of the commit is, or will be.
    pub(super) fn pointer(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn blobs(&self) -> PathBuf {
        self.cache.join(&self.folder_name).join("blobs")
    }

    /// Where the bytes with a checksum are, or will be.
    pub(super) fn blob(&self, checksum: &str) -> PathBuf {
        self.blobs().join(checksum)
    }

    /// Where bytes are while they come. Other programs call theirs otherwise, so that no two write to one file.
    pub(super) fn part(&self, key: &str) -> PathBuf {
        self.blobs().join(format!("{key}.apc.part"))
    }

    /// Waits until no other program downloads the file, and keeps others from it. Where the disk has no locks, nothing is
    /// locked.
    pub(super) fn lock(&self, key: &str, file: &str, job: &Job) -> Result<Lock> {
        let folder = self.cache.join(".locks").join(&self.folder_name);
        files::create_dir(&folder)?;
        let path = folder.join(format!("{key}.lock"));
        let open = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let mut told = false;
        loop {
            match open.try_lock() {
                Ok(()) => return Ok(Lock { _file: Some(open) }),
                Err(TryLockError::Error(_)) => return Ok(Lock { _file: None }),
                Err(TryLockError::WouldBlock) if !told => {
                    told = true;
                    let line = format!("waiting: another program is downloading {file}");
                    job.progress.note(&line);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            }
            job.check()?;
        }
    }

    /// Lets a whole part be a file of the commit.
    pub(super) fn place(&self, part: &Path, checksum: &str, file: &str) -> Result<()> {
        let blob = self.blob(checksum);
        fs::rename(part, &blob).map_err(Error::io("write", &blob))?;
        self.link(checksum, file, true)
    }

    /// Links a blob into the snapshot as `file`. Without symbolic links the blob is moved if it `is_new`, as no other snapshot
    /// refers to it, and copied otherwise.
    pub(super) fn link(&self, checksum: &str, file: &str, is_new: bool) -> Result<()> {
        let (blob, pointer) = (self.blob(checksum), self.pointer(file));
        let folder = pointer.parent().unwrap_or(&self.folder);
        files::create_dir(folder)?;
        // A link that leads nowhere.
        if pointer.symlink_metadata().is_ok() && !pointer.exists() {
            fs::remove_file(&pointer).map_err(Error::io("remove", &pointer))?;
        }
        let target = pathdiff::diff_paths(&blob, folder).unwrap_or_else(|| blob.clone());
        let made = (self.symlink)(&target, &pointer);
        if made.is_ok() || pointer.exists() {
            return Ok(());
        }
        if is_new {
            fs::rename(&blob, &pointer).map_err(Error::io("write", &pointer))
        } else {
            files::write_by(&pointer, |file| {
                let mut blob = File::open(&blob).map_err(Error::io("read", &blob))?;
                io::copy(&mut blob, file).map_err(Error::io("write", &pointer))?;
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef";

    fn snapshot(cache: &Path, commit: &str, symlink: Symlink) -> Snapshot {
        let name = Name::parse("acme/judge").unwrap().unwrap();
        let snapshot = Snapshot::new(cache, &name, commit, symlink);
        fs::create_dir_all(snapshot.blobs()).unwrap();
        snapshot
    }

    fn place(snapshot: &Snapshot, file: &str, bytes: &str) {
        let part = snapshot.part("key");
        fs::write(&part, bytes).unwrap();
        snapshot
            .place(&part, &files::checksum_of(bytes), file)
            .unwrap();
    }

    #[test]
    fn files_are_links_to_blobs_from_any_depth() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = snapshot(cache.path(), COMMIT, symlink);
        for file in ["config.json", "weights/a/b.safetensors"] {
            place(&snapshot, file, file);
            let pointer = snapshot.pointer(file);
            assert!(pointer.is_symlink());
            assert!(fs::read_link(&pointer).unwrap().is_relative());
            assert_eq!(fs::read_to_string(pointer).unwrap(), file);
        }
    }

    #[test]
    fn without_links_a_new_file_is_moved_and_an_old_one_copied() {
        let cache = tempfile::tempdir().unwrap();
        let first = snapshot(cache.path(), COMMIT, no_symlink);
        place(&first, "a/config.json", "new");
        let pointer = first.pointer("a/config.json");
        assert!(!pointer.is_symlink());
        assert_eq!(fs::read_to_string(pointer).unwrap(), "new");
        let blob = files::checksum_of("new");
        assert!(!first.blob(&blob).exists());

        fs::write(first.blob(&blob), "new").unwrap();
        let second = snapshot(cache.path(), "fedcba", no_symlink);
        second.link(&blob, "config.json", false).unwrap();
        assert!(!second.pointer("config.json").is_symlink());
        assert_eq!(
            fs::read_to_string(second.pointer("config.json")).unwrap(),
            "new"
        );
        assert!(second.blob(&blob).exists());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_made_anew() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = snapshot(cache.path(), COMMIT, symlink);
        files::create_dir(&snapshot.folder).unwrap();
        symlink(
            Path::new("../../blobs/gone"),
            &snapshot.pointer("config.json"),
        )
        .unwrap();
        place(&snapshot, "config.json", "new");
        let config = fs::read_to_string(snapshot.pointer("config.json"));
        assert_eq!(config.unwrap(), "new");
    }

    #[test]
    fn a_file_that_another_program_downloads_is_waited_for() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = snapshot(cache.path(), COMMIT, symlink);
        let job = Job::default();
        let first = snapshot.lock("key", "config.json", &job).unwrap();
        // Another file is not held up.
        snapshot.lock("other", "tokenizer.json", &job).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| snapshot.lock("key", "config.json", &job).map(drop));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
        let _held = snapshot.lock("key", "config.json", &job).unwrap();
        job.stop();
        let stopped = snapshot.lock("key", "config.json", &job);
        assert!(matches!(stopped.map(drop), Err(Error::Interrupted)));
    }
}
