//! Models of the Hugging Face hub, in the cache that its Python library shares.
//!
//! The cache's layout is that of the package `hf-hub`. Its downloads are not used: version 0.5 ends where a hub answers without
//! a range, as the real one does for small files, hands the token to other hosts, and lets a server's words become paths.

mod cache;
mod client;
mod download;
mod failure;
mod file;
mod name;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use self::client::Client;
use self::failure::Failure;
use self::name::Name;
use crate::files::{self, Checkpoint};
use crate::progress::Job;
use crate::{Error, Result};

/// Where models come from and where they are kept.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The hub's address.
    pub endpoint: String,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// The token of an account, for gated and private models.
    pub token: Option<SecretString>,
    /// The file that holds the token if `token` does not, where there is such a file.
    pub token_file: Option<PathBuf>,
    /// Whether the cache has symbolic links, as on most systems; without them files lie in the snapshots themselves.
    pub symlinks: bool,
    /// Whether to use what is in the cache and nothing else.
    pub offline: bool,
    /// Where files of source repositories are, by `owner/repository/commit/path`.
    pub prompts: String,
}

impl HubConfig {
    /// The hub itself, without an account.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        let cache = cache.into();
        Self {
            endpoint: "https://huggingface.co".into(),
            // Where Python's library keeps it of whoever has logged in.
            token_file: cache.parent().map(|home| home.join("token")),
            cache,
            token: None,
            symlinks: true,
            offline: false,
            prompts: "https://raw.githubusercontent.com".into(),
        }
    }
}

/// Finds models, and downloads those that are not there.
#[derive(Clone, Debug)]
pub struct Hub {
    config: HubConfig,
    job: Job,
}

impl Hub {
    /// Looks nowhere yet.
    ///
    /// # Errors
    ///
    /// A token that no header can carry.
    pub fn new(config: HubConfig, job: &Job) -> Result<Self> {
        if let Some(token) = &config.token {
            check_token("HF_TOKEN", token)?;
        }
        Ok(Self {
            config,
            job: job.clone(),
        })
    }

    /// The folder of a model: the folder of that name, or the snapshot of `owner/name`, or of `owner/name@revision`, in the
    /// cache. What the snapshot lacks is downloaded.
    ///
    /// # Errors
    ///
    /// A name that is neither; a model that does not exist, that is gated, that does not fit the disk, or whose files differ from
    /// what the hub says of them.
    pub fn folder(&self, name: &Path) -> Result<PathBuf> {
        let Some(on_hub) = on_hub(name)? else {
            return if name.exists() {
                Ok(name.to_path_buf())
            } else {
                Err(Error::invalid(name, nowhere(name)))
            };
        };
        let cache = &self.config.cache;
        let missing = match cache::find(cache, &on_hub) {
            Some(folder) => match download::missing(&folder) {
                None => return Ok(folder),
                Some(missing) => format!("{} lacks {missing}", folder.display()),
            },
            None => format!("it is not in {}", cache.display()),
        };
        if self.config.offline {
            return Err(Error::Hub(format!(
                "cannot download {} while HF_HUB_OFFLINE is set: {missing}; unset it, or name a folder",
                name.display()
            )));
        }
        let hub = self.clone();
        let id = on_hub.id.clone();
        let folder = self.apart(move || hub.download(&on_hub))??;
        let line = format!("{id} is in {}", folder.display());
        self.job.progress.note(&line);
        Ok(folder)
    }

    /// The checkpoint of that name, see [`Hub::folder`]; one from the hub is called `owner/name@commit`.
    pub fn checkpoint(&self, name: &Path) -> Result<Checkpoint> {
        let on_hub = on_hub(name)?;
        let folder = self.folder(name)?;
        let commit = folder.file_name().unwrap_or_default().to_string_lossy();
        let called = on_hub.map(|on_hub| format!("{}@{commit}", on_hub.id));
        let checkpoint = Checkpoint::folder(&folder);
        Ok(match called {
            Some(called) => checkpoint.with_name(called),
            None => checkpoint,
        })
    }

    /// A file of a source repository at a pinned commit, with a known checksum; kept in the cache. `instead` is what to give
    /// where it cannot be had.
    pub fn pinned(&self, path: &str, checksum: &str, instead: &str) -> Result<PathBuf> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let kept = self
            .config
            .cache
            .join("apc")
            .join(format!("{checksum}.{name}"));
        if kept.is_file() && files::checksum(&kept)? == checksum {
            return Ok(kept);
        }
        let url = format!("{}/{path}", self.config.prompts.trim_end_matches('/'));
        let path = path.to_string();
        let failed = |reason: &str| {
            Error::Hub(format!(
                "cannot download {url}: {reason}; download the file yourself and name it with {instead}"
            ))
        };
        if self.config.offline {
            return Err(failed("HF_HUB_OFFLINE is set"));
        }
        let hub = self.clone();
        let answer = self.apart(move || hub.small(&path))??;
        let bytes = answer.map_err(|reason| failed(&reason))?;
        let sum = files::checksum_of(&bytes);
        if sum != checksum {
            return Err(failed(&format!("its checksum is {sum}, not {checksum}")));
        }
        files::write(&kept, &bytes)?;
        Ok(kept)
    }

    /// Downloads a small file that anybody may read; the inner error is the reason why it cannot be had.
    fn small(&self, path: &str) -> Result<Result<Vec<u8>, String>> {
        const LONGEST: u64 = 16 << 20;
        let client = Client::new(&self.config.prompts, "APC_PROMPTS_URL", None, &self.job)?;
        let url = client.url(path.split('/'));
        let bytes = client.persist(|| {
            let response = client.get(&url, None, |_| false)?.response;
            let mut bytes = Vec::new();
            let read = client::decoded(response)?
                .take(LONGEST)
                .read_to_end(&mut bytes);
            read.map_err(|error| Failure::Broken(failure::reason(error)))?;
            Ok(bytes)
        });
        Ok(match bytes {
            Ok(bytes) => Ok(bytes),
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Status { status, said, .. }) => Err(format!("status {status} {said}")),
            Err(
                Failure::Broken(reason) | Failure::Unreachable(reason) | Failure::Unusable(reason),
            ) => Err(reason),
        })
    }

    fn download(&self, name: &Name) -> Result<PathBuf> {
        let token = match &self.config.token {
            Some(token) => Some(token.clone()),
            None => self.kept_token()?,
        };
        let client = Client::new(
            &self.config.endpoint,
            "HF_ENDPOINT",
            token.as_ref(),
            &self.job,
        )?;
        let symlink = match self.config.symlinks {
            true => cache::symlink,
            false => cache::no_symlink,
        };
        download::download(&client, &self.config.cache, name, symlink)
    }

    /// The token that Python's library keeps of whoever has logged in.
    fn kept_token(&self) -> Result<Option<SecretString>> {
        let Some(path) = self
            .config
            .token_file
            .as_deref()
            .filter(|path| path.is_file())
        else {
            return Ok(None);
        };
        let text = files::read_text(path)?;
        let token = Some(text.trim()).filter(|token| !token.is_empty());
        let token = token.map(SecretString::from);
        if let Some(token) = &token {
            check_token(&path.display().to_string(), token)?;
        }
        Ok(token)
    }

    /// Does `work` on a thread of its own, which is left alone when someone asks the job to stop.
    fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("hub".into());
        thread.spawn(move || sender.send(work())).map_err(|error| {
            Error::Hub(format!("no thread can be started for a download: {error}"))
        })?;
        loop {
            match receiver.recv_timeout(Duration::from_millis(50)) {
                Ok(done) => return Ok(done),
                Err(mpsc::RecvTimeoutError::Timeout) => self.job.check()?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Hub("a download ended without a result".into()));
                }
            }
        }
    }
}

/// The model on the hub that a name stands for, unless there is a folder of that name.
fn on_hub(name: &Path) -> Result<Option<Name>> {
    match name.to_str().filter(|_| !name.exists()) {
        Some(text) => Name::parse(text),
        None => Ok(None),
    }
}

/// Why a name that is neither a folder nor a model on the hub finds nothing, and what to give in its place.
fn nowhere(name: &Path) -> String {
    let reason = "there is no such folder; give a folder, or a model on the hub as owner/name";
    let Some((_, path)) = name.to_str().and_then(|text| text.split_once("://")) else {
        return reason.into();
    };
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [_, owner, model, ..] => format!("{reason}, such as {owner}/{model} for this address"),
        _ => reason.into(),
    }
}

/// An error if no header can carry a token; `whence` says where it stands.
fn check_token(whence: &str, token: &SecretString) -> Result<()> {
    let token = token.expose_secret();
    if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::Usage(format!(
            "{whence} has a space or a line break in it; set it to the token alone"
        )));
    }
    if !token.is_ascii() {
        return Err(Error::Usage(format!(
            "{whence} has a non-ASCII character in it; set it to the token alone"
        )));
    }
    Ok(())
}
