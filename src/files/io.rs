//! Files that are never half written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::seal::Seal;
use crate::{Error, Result};

/// Reads a text file that must be UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    decode_text(path, fs::read(path).map_err(Error::io("read", path))?)
}

/// Decodes the bytes of a text file, without a byte order mark.
pub fn decode_text(path: &Path, bytes: Vec<u8>) -> Result<String> {
    if let Some(kind) = known_format(&bytes) {
        return Err(Error::invalid(
            path,
            format!("is {kind}, not text in UTF-8; save it as such"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(
            path,
            format!("not UTF-8 at byte {at}; save the file as UTF-8"),
        )
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_string)
        .unwrap_or(text))
}

/// The format of bytes that are no text, where they show it.
fn known_format(bytes: &[u8]) -> Option<&'static str> {
    const FORMATS: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "a gzip file"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"PAR1", "a Parquet file"),
        (b"\xff\xfe", "text in UTF-16"),
    ];
    let by_begin = FORMATS.iter().find(|(begin, _)| bytes.starts_with(begin));
    // English in UTF-16 without its mark: every other byte is 0.
    let begin = &bytes[..bytes.len().min(512)];
    let zeros = begin.iter().filter(|byte| **byte == 0).count();
    let is_wide = zeros * 3 > begin.len() && !begin.is_empty();
    by_begin
        .map(|(_, kind)| *kind)
        .or_else(|| is_wide.then_some("text in UTF-16"))
}

/// Reads a JSON file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_json(path, &read_text(path)?)
}

/// Parses the text of a JSON file.
pub(super) fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::invalid(path, error.to_string()))
}

/// Returns the SHA-256 of a file's bytes, in hexadecimal.
pub fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(Error::io("read", path))?;
    Ok(hex(&hash.finalize()))
}

/// Returns the SHA-256 of some bytes, in hexadecimal.
pub fn checksum_of(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Formats bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("create", path))
}

/// Removes a folder and its content, if it exists.
pub fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a file beside its place and renames it, so that a reader sees the old or the new one, never a part.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_by(path, |file| {
        file.write_all(bytes).map_err(Error::io("write", path))
    })
}

/// Writes a file as [`write`] does, piece by piece; an error leaves the old file.
pub(crate) fn write_by(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    create_dir(folder)?;
    let mut file = temporary(folder).map_err(Error::io("write", path))?;
    fill(file.as_file_mut())?;
    file.as_file()
        .sync_all()
        .map_err(Error::io("write", path))?;
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// How the names of files begin that are not yet whole.
const TEMPORARY: &str = ".tmp";

/// Whether a file was not yet whole when its writer was killed.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(TEMPORARY)
}

/// Creates a temporary file in the folder with the permissions of any new file, as the user's umask says.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Writes a value as indented JSON.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::invalid(path, error.to_string()))?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Reads JSON Lines; every line must be complete.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    parse_jsonl(path, &read_text(path)?)
}

/// Parses the text of a JSON Lines file; every line must be complete.
pub fn parse_jsonl<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(line_idx, line)| {
            serde_json::from_str(line).map_err(|error| {
                let reason = match line.trim_start().chars().next() {
                    _ if line_idx > 0 => None,
                    Some('[') => Some("is a JSON array, or has one in its first line"),
                    Some('{') if error.is_eof() => Some("has a JSON object over several lines"),
                    Some('{') => None,
                    _ => Some("does not begin with a JSON object"),
                };
                let reason = match reason {
                    Some(reason) => format!("{reason}; write one object a line (JSON Lines)"),
                    None => format!("line {}: {error}; correct or delete the line", line_idx + 1),
                };
                Error::invalid(path, reason)
            })
        })
        .collect()
}

/// Writes JSON Lines in one go.
pub fn write_jsonl<T: Serialize>(path: &Path, records: &[T]) -> Result<()> {
    write(path, to_lines(path, records)?.as_bytes())
}

/// A JSON Lines file that grows record by record and survives being cut off at any moment.
#[derive(Debug)]
pub struct Journal {
    path: std::path::PathBuf,
    file: File,
    seal: Option<Seal>,
}

impl Journal {
    /// Opens the file, makes it if there is none, and returns the whole records it holds; a torn last line is cut off.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>)> {
        if let Some(folder) = path.parent() {
            create_dir(folder)?;
        }
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        // What is whole can be read on a disk that is not to be written.
        let file = opened
            .or_else(|error| File::open(path).map_err(|_| error))
            .map_err(Error::io("open", path))?;
        let mut records = Vec::new();
        let mut reader = BufReader::new(&file);
        let (mut whole, mut line_idx) = (0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .map_err(Error::io("read", path))?;
            if read == 0 || line.last() != Some(&b'\n') {
                break; // the end, or a line whose writer was killed
            }
            line_idx += 1;
            let record = serde_json::from_slice(&line).map_err(|error| {
                let reason =
                    format!("line {line_idx}: {error}; delete the line or the file and run again");
                Error::invalid(path, reason)
            })?;
            records.push(record);
            whole += read as u64;
        }
        if file.metadata().map_err(Error::io("read", path))?.len() != whole {
            file.set_len(whole).map_err(Error::io("repair", path))?;
        }
        Ok((
            Self {
                path: path.to_path_buf(),
                file,
                seal: None,
            },
            records,
        ))
    }

    /// As [`Self::open`], of a file that nobody edits; nothing if somebody has. What it should hold is kept at `seal`.
    pub fn open_sealed<T: DeserializeOwned>(
        path: &Path,
        seal: &Path,
    ) -> Result<Option<(Self, Vec<T>)>> {
        let Some((seal, whole)) = Seal::open(seal, path)? else {
            return Ok(None);
        };
        if path.is_file() {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.map_err(Error::io("open", path))?;
            file.set_len(whole).map_err(Error::io("repair", path))?;
        }
        let (mut journal, records) = Self::open(path)?;
        journal.seal = Some(seal);
        Ok(Some((journal, records)))
    }

    /// Writes other records in place of all that it holds.
    pub fn replace<T: Serialize>(self, records: &[T]) -> Result<()> {
        let text = to_lines(&self.path, records)?;
        if let Some(mut seal) = self.seal {
            seal.replace(text.as_bytes())?;
        }
        write(&self.path, text.as_bytes())
    }

    /// Locks the file until the journal is dropped.
    ///
    /// # Errors
    ///
    /// Another run that has it.
    pub fn lock(&self) -> Result<()> {
        lock(&self.file, &self.path, &self.path, WAIT)
    }

    /// Appends records with one write and hands them to the system before it returns.
    pub fn append<T: Serialize>(&mut self, records: &[T]) -> Result<()> {
        let lines = to_lines(&self.path, records)?;
        if let Some(seal) = &mut self.seal {
            seal.extend(lines.as_bytes())?;
        }
        self.file
            .write_all(lines.as_bytes())
            .map_err(Error::io("write", &self.path))?;
        self.file
            .sync_data()
            .map_err(Error::io("write", &self.path))
    }
}

/// Formats records as the file at `path` has them, a line each.
pub fn to_lines<T: Serialize>(path: &Path, records: &[T]) -> Result<String> {
    let mut lines = String::new();
    for record in records {
        let line = serde_json::to_string(record);
        lines += &line.map_err(|error| Error::invalid(path, error.to_string()))?;
        lines.push('\n');
    }
    Ok(lines)
}

/// Locks a file that is open, until it is closed; where the file system has no locks, nothing is locked.
///
/// # Errors
///
/// Another run that has it: `holds` names what is locked, `advice` tells what to do.
pub fn lock(file: &File, path: &Path, holds: &Path, advice: &str) -> Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let reason = format!("another run is at work here; {advice}");
            Err(Error::invalid(holds, reason))
        }
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
            Err(Error::io("lock", path)(error))
        }
        _ => Ok(()),
    }
}

/// What to do about another run.
pub const WAIT: &str = "wait until it has ended, or stop it";

/// Makes a folder if it is not there, and locks it until what is returned is dropped.
///
/// # Errors
///
/// Another run that has it, and a folder that cannot be made.
pub fn lock_folder(folder: &Path) -> Result<File> {
    create_dir(folder)?;
    // On Unix the folder itself can be locked, so that nothing is left behind in it.
    let path = match cfg!(unix) {
        true => folder.to_path_buf(),
        false => folder.join(".lock"),
    };
    let mut options = OpenOptions::new();
    options.read(true).write(!cfg!(unix)).create(!cfg!(unix));
    let file = options.open(&path).map_err(Error::io("lock", &path))?;
    lock(&file, &path, folder, WAIT)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        fs::write(&path, "1\n2\n3").unwrap();
        let (mut journal, records) = Journal::open::<u32>(&path).unwrap();
        assert_eq!(records, [1, 2]);
        journal.append(&[4u32, 5]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n4\n5\n");
    }

    #[test]
    fn a_torn_line_in_the_middle_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        fs::write(&path, "1\n{\"a\n3\n").unwrap();
        let error = Journal::open::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("records.jsonl: line 2"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value.json");
        write_json(&path, &1).unwrap();
        assert!(write_json(&folder.path().join("value.json/under"), &2).is_err());
        assert_eq!(read_json::<u32>(&path).unwrap(), 1);
    }
}
