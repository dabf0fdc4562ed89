//! Where a checkpoint's files are: a folder, or bytes inside the program.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::io;
use crate::{Error, Result};

/// A file inside the program: its name, and its bytes.
pub type EmbeddedFile = (&'static str, &'static [u8]);

/// The files of one model in Hugging Face's layout: `config.json`, weights, tokenizer.
///
/// They lie in a folder, or as bytes inside the program. Nothing is read before it is asked for.
///
/// ```
/// use apc::files::Checkpoint;
///
/// let checkpoint = Checkpoint::folder("models/my-gemma");
/// assert_eq!(checkpoint.name(), "models/my-gemma");
/// assert!(!checkpoint.has("config.json"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    name: Option<String>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Embedded(&'static [EmbeddedFile]),
}

impl From<PathBuf> for Checkpoint {
    fn from(folder: PathBuf) -> Self {
        Self::folder(folder)
    }
}

impl From<&Path> for Checkpoint {
    fn from(folder: &Path) -> Self {
        Self::folder(folder)
    }
}

impl Checkpoint {
    /// The checkpoint in a folder, which is called by its path.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            place: Place::Folder(folder.into()),
        }
    }

    /// A checkpoint inside the program.
    pub fn embedded(name: &str, files: &'static [EmbeddedFile]) -> Self {
        Self {
            name: Some(name.to_string()),
            place: Place::Embedded(files),
        }
    }

    /// The same files under another name, such as the one they have on the hub.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the checkpoint is called in messages: its name on the hub with the revision, `embedded`, or else its path.
    pub fn name(&self) -> String {
        match (&self.name, &self.place) {
            (Some(name), _) => name.clone(),
            (None, Place::Folder(folder)) => folder.display().to_string(),
            (None, Place::Embedded(_)) => String::new(),
        }
    }

    /// What records call it, which means the same on another machine: its name, or for a folder without one the path to it
    /// from the folder `from`.
    pub fn reference(&self, from: &Path) -> String {
        let (None, Place::Folder(folder)) = (&self.name, &self.place) else {
            return self.name();
        };
        let relative = pathdiff::diff_paths(resolved(folder), resolved(from));
        // On another drive there is no way from one to the other: the folder's name is all that can be told.
        let relative = relative.filter(|path| path.is_relative());
        let relative = relative.unwrap_or_else(|| folder.file_name().unwrap_or_default().into());
        let parts = relative
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        parts.collect::<Vec<_>>().join("/")
    }

    /// The folder, if the files lie in one.
    pub fn as_folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Embedded(_) => None,
        }
    }

    /// Where a file is, for a message; of embedded files it is the checkpoint's name with theirs.
    pub fn path(&self, file: &str) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.join(file),
            Place::Embedded(_) => Path::new(&self.name()).join(file),
        }
    }

    /// Whether the checkpoint has a file.
    pub fn has(&self, file: &str) -> bool {
        match &self.place {
            Place::Folder(folder) => folder.join(file).is_file(),
            Place::Embedded(_) => self.embedded_bytes(file).is_some(),
        }
    }

    /// The bytes of an embedded file.
    pub(super) fn embedded_bytes(&self, file: &str) -> Option<&'static [u8]> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Embedded(files) => {
                let found = files.iter().find(|(name, _)| *name == file);
                found.map(|(_, bytes)| *bytes)
            }
        }
    }

    /// Reads a file whole.
    pub fn read(&self, file: &str) -> Result<Cow<'static, [u8]>> {
        let path = self.path(file);
        match &self.place {
            Place::Folder(_) => match fs::read(&path) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(error) => Err(Error::io("read", &path)(error)),
            },
            Place::Embedded(_) => match self.embedded_bytes(file) {
                Some(bytes) => Ok(Cow::Borrowed(bytes)),
                None => Err(Error::invalid(
                    path,
                    "there is no embedded file of this name",
                )),
            },
        }
    }

    /// Reads a file that must be UTF-8.
    pub fn read_text(&self, file: &str) -> Result<String> {
        io::decode_text(&self.path(file), self.read(file)?.into_owned())
    }

    /// Reads a JSON file.
    pub fn read_json<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        io::parse_json(&self.path(file), &self.read_text(file)?)
    }

    /// Reads a JSON file, if the checkpoint has it.
    pub fn read_json_if_any<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        self.has(file).then(|| self.read_json(file)).transpose()
    }

    /// Copies those of `files` that the checkpoint has to a folder.
    pub fn copy_to(&self, files: &[&str], folder: &Path) -> Result<()> {
        for file in files.iter().filter(|file| self.has(file)) {
            let to = folder.join(file);
            io::create_dir(to.parent().unwrap_or(folder))?;
            match &self.place {
                Place::Folder(from) => {
                    fs::copy(from.join(file), &to).map_err(Error::io("write", &to))?;
                }
                Place::Embedded(_) => io::write(&to, &self.read(file)?)?,
            }
        }
        Ok(())
    }

    /// What identifies the model: the SHA-256 of its small files, with size and time of its large ones.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read.
    pub fn hash(&self) -> Result<String> {
        match &self.place {
            Place::Folder(folder) => folder_hash(folder),
            Place::Embedded(files) => {
                let mut files = files.to_vec();
                files.sort_by_key(|(name, _)| *name);
                let mut hash = Sha256::new();
                for (name, bytes) in files.into_iter().filter(|(name, _)| is_identity(name)) {
                    hash.update(name);
                    hash.update(io::checksum_of(bytes));
                }
                Ok(io::hex(&hash.finalize()))
            }
        }
    }
}

/// A path without links; what of it is not there yet is added to the part that is.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for there in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) {
            return real.join(rest);
        }
    }
    absolute
}

/// Whether a file of that name makes a model what it is.
fn is_identity(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| ["json", "jinja", "safetensors", "bin", "model"].contains(&ending))
}

/// What identifies the model or the adapter in a folder: hashes of its small files, size and time of its large ones.
pub fn folder_hash(folder: &Path) -> Result<String> {
    const LARGE: u64 = 64 << 20;
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", folder))?;
        if entry.file_name().to_str().is_some_and(is_identity) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let metadata = fs::metadata(&path).map_err(Error::io("read", &path))?;
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        if metadata.len() > LARGE {
            let modified = metadata.modified().map_err(Error::io("read", &path))?;
            hash.update(format!("{} {modified:?}", metadata.len()));
        } else {
            hash.update(io::checksum(&path)?);
        }
    }
    Ok(io::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[EmbeddedFile] = &[
        ("tokenizer.json", b"{}"),
        ("config.json", b"{\"a\": 1}"),
        ("NOTICE", b"free"),
    ];

    #[test]
    fn embedded_files_are_read_and_identified_as_a_folder_of_them_is() {
        let folder = tempfile::tempdir().unwrap();
        let embedded = Checkpoint::embedded("embedded", FILES);
        embedded
            .copy_to(&["config.json", "tokenizer.json", "absent"], folder.path())
            .unwrap();
        let copied = Checkpoint::from(folder.path());
        for checkpoint in [&embedded, &copied] {
            assert!(checkpoint.has("config.json") && !checkpoint.has("absent"));
            let value: serde_json::Value = checkpoint.read_json("config.json").unwrap();
            assert_eq!(value["a"], 1);
            let absent: Option<serde_json::Value> = checkpoint.read_json_if_any("absent").unwrap();
            assert_eq!(absent, None);
            let error = checkpoint.read("absent").unwrap_err().to_string();
            assert!(error.contains("absent"), "{error}");
        }
        assert_eq!(embedded.hash().unwrap(), copied.hash().unwrap());
    }

    #[test]
    fn a_reference_is_a_name_or_a_path_from_a_folder_and_never_absolute() {
        let root = tempfile::tempdir().unwrap();
        let [model, output] =
            ["models/gemma", "out/models/Mira"].map(|name| root.path().join(name));
        for folder in [&model, &output] {
            fs::create_dir_all(folder).unwrap();
        }
        let checkpoint = Checkpoint::folder(&model);
        let reference = checkpoint.reference(&output);
        assert_eq!(reference, "../../../models/gemma");
        assert_eq!(
            output.join(reference).canonicalize().unwrap(),
            model.canonicalize().unwrap()
        );
        assert_eq!(
            checkpoint.with_name("a/b@0123").reference(&output),
            "a/b@0123"
        );
        assert_eq!(
            Checkpoint::embedded("embedded", FILES).reference(&output),
            "embedded"
        );
    }

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
}
