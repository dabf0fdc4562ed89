//! Reading what a user names: files, pipes and stdin, which a stop on request interrupts.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::progress::Job;
use crate::{Error, Result, files};

/// The most that is read of what is no file and might never end.
const MOST: u64 = 1 << 30;

/// Reads a text file or, once, a pipe; it must be UTF-8.
///
/// # Errors
///
/// A file that cannot be read, and a stop on request: a pipe may have nobody who writes to it.
pub(super) fn read(path: &Path, job: &Job) -> Result<String> {
    files::decode_text(path, read_bytes(path, job)?)
}

/// The same for a file that need not be text.
pub(super) fn read_bytes(path: &Path, job: &Job) -> Result<Vec<u8>> {
    if path.is_file() || !path.exists() {
        return std::fs::read(path).map_err(Error::io("read", path));
    }
    let from = path.to_path_buf();
    let mut read = aside(job, move |found| {
        let _ = found.send(read_all(&from));
    })?;
    read.next().unwrap_or_else(|| {
        let reason = "the reader thread ended without a result; run again";
        Err(Error::invalid(path, reason))
    })
}

fn read_all(path: &Path) -> Result<Vec<u8>> {
    let pipe = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    let read = pipe.take(MOST + 1).read_to_end(&mut bytes);
    if read.map_err(Error::io("read", path))? as u64 > MOST {
        return Err(Error::invalid(path, "does not end within 1 GiB"));
    }
    Ok(bytes)
}

/// Fails if a file that is read more than once is a pipe, which can be read once.
pub(super) fn check_file(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        let reason = "is not a file; what it holds is needed more than once, so save it to a file";
        return Err(Error::invalid(path, reason));
    }
    Ok(())
}

/// Returns the lines of stdin as they come.
///
/// # Errors
///
/// Of each line: stdin that cannot be read, and a stop on request.
pub(super) fn stdin_lines(job: &Job) -> Result<impl Iterator<Item = Result<String>>> {
    aside(job, |found| {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(Error::io("read", Path::new("stdin")));
            if found.send(line).is_err() {
                break;
            }
        }
    })
}

/// Reads on a thread of its own, so that a stop on request does not wait for what may never come.
fn aside<T: Send + 'static>(
    job: &Job,
    read: impl FnOnce(mpsc::SyncSender<Result<T>>) + Send + 'static,
) -> Result<impl Iterator<Item = Result<T>>> {
    /// How long a stop on request may take.
    const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
    let (found, told) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .spawn(move || read(found))
        .map_err(|error| Error::Threads(error.to_string()))?;
    let job = job.clone();
    Ok(std::iter::from_fn(move || {
        loop {
            match told.recv_timeout(BETWEEN_LOOKS) {
                Ok(found) => return Some(found),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(stopped) = job.check() {
                        return Some(Err(stopped));
                    }
                }
            }
        }
    }))
}
