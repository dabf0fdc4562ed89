//! One file: what the hub says of it, and its download.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use reqwest::Url;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap};
use sha1::{Digest, Sha1};

use super::client::{Client, decoded, is_encoded};
use super::failure::{Failure, reason};
use super::name::is_hex;
use crate::progress::Task;
use crate::{Error, Result, files};

/// Retries of a download without any progress in between.
const RETRIES: u32 = 5;

/// What the hub says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The SHA-256 of a large file or git's hash of a small one, in lower-case digits. Nothing else is kept here: the checksum
    /// becomes a part of a path.
    pub(super) checksum: Option<String>,
    pub(super) size: Option<u64>,
    /// Whether the checksum is surely git's hash of the file, so that the file can be checked by it. A server's tag of 40
    /// digits may be something else.
    pub(super) is_git_hash: bool,
}

impl Facts {
    /// The checksum, if it is one of the bytes alone.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.checksum.as_deref().filter(|sum| sum.len() == 64)
    }
}

/// Asks what the hub says of a file. The request is for its first byte: not every hub answers `HEAD`.
pub(super) fn facts(client: &Client, url: &Url) -> Result<Facts, Failure> {
    let is_enough = |headers: &HeaderMap| {
        let linked = linked(headers);
        linked.checksum.is_some() && linked.size.is_some()
    };
    let answer = client.persist(|| client.get(url, Some("bytes=0-0"), is_enough))?;
    let last = answer.response.headers();
    // The hub's own headers come first: those of the server that it sends us to may speak of something else.
    let linked: Vec<Facts> = answer.hops.iter().chain([last]).map(linked).collect();
    let checksum = linked.iter().find_map(|facts| facts.checksum.clone());
    Ok(Facts {
        checksum: checksum.or_else(|| checksum_in(last.get(ETAG)?.to_str().ok()?)),
        size: linked
            .iter()
            .find_map(|facts| facts.size)
            .or_else(|| size_in(&answer.response)),
        is_git_hash: false,
    })
}

/// What the headers say of the file that they lead to.
fn linked(headers: &HeaderMap) -> Facts {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    Facts {
        checksum: text("x-linked-etag").and_then(checksum_in),
        size: text("x-linked-size").and_then(|size| size.trim().parse().ok()),
        is_git_hash: false,
    }
}

/// The checksum that a strong or weak tag holds.
fn checksum_in(tag: &str) -> Option<String> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    (is_hex(tag) && matches!(tag.len(), 40 | 64)).then(|| tag.to_lowercase())
}

/// The size of a file, from an answer with all or a part of it.
fn size_in(response: &Response) -> Option<u64> {
    let headers = response.headers();
    let text = |name| headers.get(name)?.to_str().ok();
    if is_encoded(headers) {
        return None;
    }
    match response.status().as_u16() {
        200 => text(CONTENT_LENGTH)?.trim().parse().ok(),
        _ => text(CONTENT_RANGE)?.rsplit('/').next()?.trim().parse().ok(),
    }
}

/// Where a part of a file begins.
fn start_in(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let range = range.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}

/// A file on its way to the disk.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) url: &'a Url,
    /// How the file is called where its progress is shown.
    pub(super) label: &'a str,
    pub(super) facts: &'a Facts,
    /// How long a file may be whose size is not told.
    pub(super) room: u64,
}

impl Download<'_> {
    /// Downloads what `part` lacks of the file.
    pub(super) fn run(&self, part: &Path) -> Result<(), Failure> {
        let (mut task, mut n_failed, mut ranges) = (None, 0, true);
        loop {
            let before = length(part);
            let failure = match self.go_on(part, &mut ranges, &mut task) {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(failure) => failure,
            };
            if length(part) > before {
                n_failed = 0;
            }
            match failure.wait(n_failed) {
                Some(wait) if n_failed < RETRIES => self.client.pause(wait)?,
                _ => return Err(failure),
            }
            n_failed += 1;
        }
    }

    /// Sends one request and keeps what comes; false if it must be sent again without a range.
    fn go_on(
        &self,
        part: &Path,
        ranges: &mut bool,
        task: &mut Option<Box<dyn Task>>,
    ) -> Result<bool, Failure> {
        let io = |action| move |error| Failure::Other(Error::io(action, part)(error));
        let mut start = length(part);
        let range = (start > 0 && *ranges).then(|| format!("bytes={start}-"));
        let answer = self.client.get(self.url, range.as_deref(), |_| false)?;
        let response = answer.response;
        let status = response.status().as_u16();
        let headers = response.headers();
        if range.is_some() && status != 200 {
            let goes_on = status == 206 && start_in(headers) == Some(start) && !is_encoded(headers);
            if !goes_on {
                *ranges = false;
                return Ok(false);
            }
        } else if start > 0 {
            // All of it, whether or not a range was asked for.
            start = 0;
            *task = None;
        }
        let is_file =
            status == 200 || status == 206 && start_in(headers).is_none_or(|at| at == start);
        if !is_file {
            return Err(Failure::Unusable(format!(
                "the server answered {status} instead of sending the file"
            )));
        }
        let size = self.facts.size.or_else(|| size_in(&response));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .map_err(io("open"))?;
        file.set_len(start).map_err(io("write"))?;
        let task = task.get_or_insert_with(|| {
            let total = usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX);
            let task = self.client.job.progress.task(self.label, total, "bytes");
            task.resume(start as usize);
            task
        });
        self.copy(
            &mut *decoded(response)?,
            &mut file,
            part,
            start,
            size,
            task.as_ref(),
        )?;
        Ok(true)
    }

    /// Copies bytes as they come, no more than the file has.
    fn copy(
        &self,
        from: &mut dyn Read,
        to: &mut File,
        part: &Path,
        start: u64,
        size: Option<u64>,
        task: &dyn Task,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; 128 << 10];
        let mut written = start;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Broken(reason(error))),
            };
            self.client.job.check()?;
            if read == 0 {
                break;
            }
            written += read as u64;
            if written > size.unwrap_or(self.room) {
                // Nothing of it is kept.
                to.set_len(0).map_err(Error::io("write", part))?;
                return Err(match size {
                    Some(size) => Failure::Unusable(format!(
                        "it is longer than the {size} bytes that it should have"
                    )),
                    None => Failure::Unusable(format!("it does not end after {} bytes", self.room)),
                });
            }
            to.write_all(&buffer[..read])
                .map_err(Error::io("write", part))?;
            task.advance(read);
        }
        match size {
            Some(size) if written < size => Err(Failure::Broken(format!(
                "the connection ended after {written} of {size} bytes"
            ))),
            _ => Ok(()),
        }
    }

    /// What is wrong with a whole file, if anything is.
    pub(super) fn problem(&self, part: &Path) -> Result<Option<String>> {
        let found = fs::metadata(part).map_err(Error::io("read", part))?.len();
        if let Some(size) = self.facts.size.filter(|size| *size != found) {
            return Ok(Some(format!("has {found} bytes, not {size}")));
        }
        let Some(wanted) = &self.facts.checksum else {
            return Ok(None);
        };
        let sum = match self.facts.sha256() {
            Some(_) => files::checksum(part)?,
            None if self.facts.is_git_hash => git_hash(part)?,
            None => return Ok(None),
        };
        Ok((sum != *wanted).then(|| format!("has the checksum {sum}, not {wanted}")))
    }
}

/// Git's hash of a file, which the hub's listing has for small files.
fn git_hash(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(&bytes);
    Ok(files::hex(&hash.finalize()))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn only_a_checksum_becomes_a_name() {
        let git = "a".repeat(40);
        let sha256 = "0123456789ABCDEF".repeat(4);
        for (tag, checksum) in [
            (format!("\"{git}\""), Some(git.clone())),
            (format!("W/\"{git}\""), Some(git.clone())),
            (git.clone(), Some(git)),
            (format!("\"{sha256}\""), Some(sha256.to_lowercase())),
            ("\"/elsewhere/f\"".into(), None),
            ("\"../../x\"".into(), None),
            ("W/\"5f3c-6a1b\"".into(), None),
            ("\"\"".into(), None),
            (format!("\"{}-2\"", "a".repeat(38)), None),
        ] {
            assert_eq!(checksum_in(&tag), checksum, "{tag}");
        }
    }

    #[test]
    fn the_start_of_a_part_is_read() {
        for (range, start) in [
            ("bytes 100-199/200", Some(100)),
            ("bytes */200", None),
            ("bytes 0-0/*", Some(0)),
            ("lines 1-2/3", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(range));
            assert_eq!(start_in(&headers), start, "{range}");
        }
    }
}
