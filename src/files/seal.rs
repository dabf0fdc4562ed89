//! Seals: a small file with the expected length and hash of a half-written file, to distinguish a torn write from an edit.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::io::{checksum, hex, read_json, write_json};
use crate::{Error, Result};

/// The content of a file by its length and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    bytes: u64,
    sha256: String,
}

impl Mark {
    fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }

    fn of_file(path: &Path) -> Result<Self> {
        let length = fs::metadata(path).map_err(Error::io("read", path))?.len();
        Ok(Self {
            bytes: length,
            sha256: checksum(path)?,
        })
    }

    /// Whether the file begins with this content.
    fn begins(&self, bytes: &[u8]) -> bool {
        let begin = usize::try_from(self.bytes)
            .ok()
            .and_then(|end| bytes.get(..end));
        begin.is_some_and(|begin| Self::of(begin) == *self)
    }
}

/// What lies on disk: the content before a write and after it, as a run may be killed on either side.
#[derive(Debug, Serialize, Deserialize)]
struct Marks {
    before: Mark,
    after: Mark,
}

/// Keeps what a file should hold.
#[derive(Debug)]
pub struct Seal {
    path: PathBuf,
    /// Of all that the file holds.
    hash: Sha256,
    bytes: u64,
}

impl Seal {
    /// Returns the seal at `path` of a file, and how many bytes of it are whole; nothing if the file is not as it was left.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub fn open(path: &Path, of: &Path) -> Result<Option<(Self, u64)>> {
        let content = match fs::read(of) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", of)(error)),
        };
        let whole = match read_json::<Marks>(path) {
            // Nothing was written yet, or a version wrote it that kept no seals.
            Err(_) if content.is_empty() => Some(0),
            Err(_) => None,
            Ok(Marks { before, after }) => {
                let found = content.len() as u64;
                // Not written yet, or in part.
                let is_cut = found == before.bytes || found < after.bytes;
                if Mark::of(&content) == after {
                    Some(after.bytes)
                } else if is_cut && before.begins(&content) {
                    Some(before.bytes)
                } else {
                    None
                }
            }
        };
        Ok(whole.map(|whole| {
            let seal = Self {
                path: path.to_path_buf(),
                hash: Sha256::new_with_prefix(&content[..whole as usize]),
                bytes: whole,
            };
            (seal, whole)
        }))
    }

    /// Whether a file is as the seal at `path` has it.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub fn holds(path: &Path, of: &Path) -> Result<bool> {
        let Ok(Marks { after, .. }) = read_json::<Marks>(path) else {
            return Ok(false);
        };
        // Weights need not be in memory for it.
        let is_whole = Mark::of_file(of)? == after;
        Ok(is_whole || Self::open(path, of)?.is_some())
    }

    /// Writes the seal at `path` of a file as it is.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a seal that cannot be written.
    pub fn write_of(path: &Path, of: &Path) -> Result<()> {
        let after = Mark::of_file(of)?;
        let before = after.clone();
        write_json(path, &Marks { before, after })
    }

    /// Says that more will be appended to the file.
    ///
    /// # Errors
    ///
    /// A seal that cannot be written.
    pub fn extend(&mut self, more: &[u8]) -> Result<()> {
        let before = self.mark();
        self.hash.update(more);
        self.bytes += more.len() as u64;
        self.write(before)
    }

    /// Says that the file will be replaced.
    ///
    /// # Errors
    ///
    /// A seal that cannot be written.
    pub fn replace(&mut self, content: &[u8]) -> Result<()> {
        let before = self.mark();
        self.hash = Sha256::new_with_prefix(content);
        self.bytes = content.len() as u64;
        self.write(before)
    }

    fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes,
            sha256: hex(&self.hash.clone().finalize()),
        }
    }

    fn write(&self, before: Mark) -> Result<()> {
        let after = self.mark();
        write_json(&self.path, &Marks { before, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_off_is_told_from_one_that_was_edited() {
        let folder = tempfile::tempdir().unwrap();
        let [path, of] = ["seal", "file"].map(|name| folder.path().join(name));
        let whole = |content: &str| {
            fs::write(&of, content).unwrap();
            Seal::open(&path, &of).unwrap().map(|(_, whole)| whole)
        };
        assert_eq!(whole("mine"), None, "no seal");
        assert_eq!(whole(""), Some(0));
        let (mut seal, _) = Seal::open(&path, &of).unwrap().unwrap();
        seal.extend(b"one\n").unwrap();
        assert_eq!(whole("on"), Some(0), "killed while it was written");
        assert_eq!(whole("one\n"), Some(4));
        seal.extend(b"two\n").unwrap();
        for (content, wanted) in [
            ("one\n", Some(4)),
            ("one\ntw", Some(4)),
            ("one\ntwo\n", Some(8)),
            ("ONE\ntwo\n", None),
            ("one\nTWO\n", None),
            ("ONE\n", None),
            ("on", None),
            ("", None),
            ("one\ntwo\nmore\n", None),
        ] {
            assert_eq!(whole(content), wanted, "{content:?}");
        }
        fs::write(&of, "one\ntwo\n").unwrap();
        let (mut seal, _) = Seal::open(&path, &of).unwrap().unwrap();
        seal.replace(b"two\none\n").unwrap();
        assert_eq!(whole("one\ntwo\n"), Some(8), "not yet replaced");
        assert_eq!(whole("two\none\n"), Some(8));
        assert!(Seal::holds(&path, &of).unwrap());
        fs::write(&path, "{").unwrap();
        assert_eq!(whole("two\none\n"), None, "a damaged seal");
    }
}
