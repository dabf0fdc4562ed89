//! Hashes that tell one file from another.

use std::path::Path;

use crate::{Result, files};

/// The SHA-256 of a file's bytes.
pub fn file_hash(path: &Path) -> Result<String> {
    files::checksum(path)
}
