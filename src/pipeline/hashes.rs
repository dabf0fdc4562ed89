//! Hashes that tell one file, model or purpose from another.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result, files};

/// A seed for one purpose, from the run's seed and numbers that name the purpose.
pub fn seed_for(seed: u64, purpose: &[u64]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for number in purpose {
        hash.update(number.to_le_bytes());
    }
    let digest = hash.finalize();
    u64::from_le_bytes(std::array::from_fn(|byte_idx| digest[byte_idx]))
}

/// The SHA-256 of a file's bytes.
pub fn file_hash(path: &Path) -> Result<String> {
    files::checksum(path)
}

/// What identifies the model in a folder: hashes of its small files, size and time of its large ones.
pub fn folder_hash(folder: &Path) -> Result<String> {
    const LARGE: u64 = 64 << 20;
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(Error::io("read", folder))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|ending| {
                ["json", "jinja", "safetensors", "bin", "model"]
                    .iter()
                    .any(|known| ending == *known)
            })
        })
        .collect();
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let metadata = fs::metadata(&path).map_err(Error::io("read", &path))?;
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        if metadata.len() > LARGE {
            let modified = metadata.modified().map_err(Error::io("read", &path))?;
            hash.update(format!("{} {modified:?}", metadata.len()));
        } else {
            hash.update(file_hash(&path)?);
        }
    }
    Ok(files::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_another_when_its_tokenizer_or_template_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut hashes = vec![folder_hash(folder.path()).unwrap()];
        for name in ["config.json", "spm.model", "chat_template.jinja"] {
            fs::write(folder.path().join(name), name).unwrap();
            hashes.push(folder_hash(folder.path()).unwrap());
        }
        fs::write(folder.path().join("notes.txt"), "a").unwrap();
        assert_eq!(folder_hash(folder.path()).unwrap(), hashes[3]);
        hashes.dedup();
        assert_eq!(hashes.len(), 4);
    }

    #[test]
    fn seeds_for_different_purposes_differ() {
        assert_ne!(seed_for(1, &[0, 1]), seed_for(1, &[1, 0]));
        assert_eq!(seed_for(1, &[0, 1]), seed_for(1, &[0, 1]));
    }
}
