//! Models of the Hugging Face hub, in the cache that its Python library shares.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::files::{self, Checkpoint};
use crate::progress::{Job, Task};
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
    /// Whether to use what is in the cache and nothing else.
    pub offline: bool,
    /// Where files of source repositories are, by `owner/repository/commit/path`.
    pub prompts: String,
}

impl HubConfig {
    /// The hub itself, without an account.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: "https://huggingface.co".into(),
            cache: cache.into(),
            token: None,
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

/// Files of a model beside its weights, where it has them.
const COMPANIONS: [&str; 11] = [
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "spm.model",
    "tokenizer.model",
    "judge.json",
];
/// Files of weights, the best first: one, or an index that names several.
const WEIGHTS: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "adapter_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "adapter_model.bin",
];

/// A file to be downloaded.
struct Wanted {
    name: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

impl Hub {
    /// Looks nowhere yet.
    ///
    /// # Errors
    ///
    /// A token that no header can carry.
    pub fn new(config: HubConfig, job: &Job) -> Result<Self> {
        let token = config.token.as_ref().map(ExposeSecret::expose_secret);
        if token.is_some_and(|token| token.chars().any(|c| c.is_whitespace() || c.is_control())) {
            return Err(Error::Usage(
                "HF_TOKEN has a space or a line break in it; set it to the token alone".into(),
            ));
        }
        Ok(Self {
            config,
            job: job.clone(),
        })
    }

    /// The folder of a model: the folder of that name, or the snapshot of `owner/name`, or of `owner/name@revision`, in the
    /// cache. What the snapshot lacks is downloaded.
    ///
    /// A name that is neither comes back as it is, so that whoever reads it tells of it.
    ///
    /// # Errors
    ///
    /// A model that does not exist, that is gated, that does not fit the disk, or whose files differ from what the hub says
    /// of them.
    pub fn folder(&self, name: &Path) -> Result<PathBuf> {
        let Some(repo) = name.to_str().filter(|_| !name.exists()).and_then(repo) else {
            return Ok(name.to_path_buf());
        };
        let cached = Cache::new(self.config.cache.clone()).repo(repo.clone());
        let missing = match snapshot(&cached, repo.revision()) {
            Some(folder) => match missing(&folder) {
                None => return Ok(folder),
                Some(missing) => format!("{} lacks {missing}", folder.display()),
            },
            None => format!("it is not in {}", self.config.cache.display()),
        };
        if self.config.offline {
            return Err(Error::Hub(format!(
                "{} cannot be had while HF_HUB_OFFLINE is set: {missing}; unset it, or name a folder",
                name.display()
            )));
        }
        self.download(&repo)
    }

    /// The checkpoint of that name, see [`Hub::folder`]; one from the hub is called `owner/name@commit`.
    pub fn checkpoint(&self, name: &Path) -> Result<Checkpoint> {
        let folder = self.folder(name)?;
        let commit = folder.file_name().unwrap_or_default().to_string_lossy();
        let on_hub = name.to_str().filter(|_| folder != name);
        let called = on_hub
            .and_then(repo)
            .map(|repo| format!("{}@{commit}", repo.url()));
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
        let failed = |reason: &str| {
            Error::Hub(format!(
                "{url} is needed, but {reason}; save that file and name it with {instead}"
            ))
        };
        if self.config.offline {
            return Err(failed("HF_HUB_OFFLINE is set"));
        }
        let asked = url.clone();
        let answer = self.apart(move || ureq::get(&asked).call()?.body_mut().read_to_vec())?;
        let bytes = answer.map_err(|error| failed(&format!("cannot be had: {error}")))?;
        let sum = files::checksum_of(&bytes);
        if sum != checksum {
            return Err(failed(&format!("has the checksum {sum}, not {checksum}")));
        }
        files::write(&kept, &bytes)?;
        Ok(kept)
    }

    fn download(&self, repo: &Repo) -> Result<PathBuf> {
        let id = repo.url();
        let api = self.api()?;
        let revision = format!("revision {}", repo.revision());
        let told = |error: ApiError| self.told(&id, &revision, &error);
        let listed = api.repo(repo.clone());
        let info = self.apart(move || listed.info())?.map_err(told)?;
        let names: BTreeSet<String> = info
            .siblings
            .into_iter()
            .map(|sibling| sibling.rfilename)
            .collect();
        // All files of one commit, whatever happens to the branch meanwhile.
        let pinned = Repo::with_revision(id.clone(), RepoType::Model, info.sha.clone());
        let cached = Cache::new(self.config.cache.clone()).repo(pinned.clone());
        let weights = WEIGHTS.into_iter().find(|name| names.contains(*name));
        let weights = weights.ok_or_else(|| {
            Error::Hub(format!(
                "{id} at {} has no weights that can be read: none of {}",
                self.config.endpoint,
                WEIGHTS.join(", ")
            ))
        })?;
        let mut first: Vec<String> = COMPANIONS
            .into_iter()
            .filter(|name| names.contains(*name))
            .map(str::to_string)
            .collect();
        first.push(weights.to_string());
        self.fetch(&api, &pinned, &cached, first)?;
        if weights.ends_with(".index.json") {
            let index = cached.get(weights).ok_or_else(|| {
                Error::Hub(format!(
                    "{weights} of {id} is not in the cache after its download"
                ))
            })?;
            let shards: BTreeSet<String> = files::read_json::<Index>(&index)?
                .weight_map
                .into_values()
                .collect();
            self.fetch(&api, &pinned, &cached, shards.into_iter().collect())?;
        }
        let folder = cached.pointer_path(&info.sha);
        // The branch points to the commit once all of it is there.
        Cache::new(self.config.cache.clone())
            .repo(repo.clone())
            .create_ref(&info.sha)
            .map_err(Error::io("write the reference of", &folder))?;
        self.job
            .progress
            .note(&format!("{id} is in {}", folder.display()));
        Ok(folder)
    }

    /// Downloads those of the files that the cache lacks.
    fn fetch(&self, api: &Api, repo: &Repo, cached: &CacheRepo, names: Vec<String>) -> Result<()> {
        let id = repo.url();
        let mut wanted = Vec::new();
        for name in names {
            self.job.check()?;
            if cached.get(&name).is_some() {
                continue;
            }
            let (client, url) = (api.clone(), api.repo(repo.clone()).url(&name));
            let metadata = self
                .apart(move || client.metadata(&url))?
                .map_err(|error| self.told(&id, &name, &error))?;
            wanted.push(Wanted { name, metadata });
        }
        self.check_space(&id, cached, &wanted)?;
        for file in wanted {
            self.fetch_one(api.repo(repo.clone()), &id, cached, &file)?;
        }
        Ok(())
    }

    /// An error if the disk has no room for what is to come.
    fn check_space(&self, id: &str, cached: &CacheRepo, wanted: &[Wanted]) -> Result<()> {
        let needed: u64 = wanted
            .iter()
            .map(|file| {
                let part = part_path(cached, file.metadata.etag());
                let there = fs::metadata(part).map_or(0, |part| part.len());
                (file.metadata.size() as u64).saturating_sub(there)
            })
            .sum();
        let cache = &self.config.cache;
        files::create_dir(cache)?;
        let free =
            fs4::available_space(cache).map_err(Error::io("ask for the free space of", cache))?;
        if needed > free {
            let size = bytesize::ByteSize;
            return Err(Error::Hub(format!(
                "{id} needs {} more, but {} has {} left; make room, or set HF_HOME to another disk",
                size(needed),
                cache.display(),
                size(free)
            )));
        }
        Ok(())
    }

    fn fetch_one(&self, repo: ApiRepo, id: &str, cached: &CacheRepo, file: &Wanted) -> Result<()> {
        let (name, etag, size) = (&file.name, file.metadata.etag(), file.metadata.size());
        let part = part_path(cached, etag);
        // A part that is whole was not yet looked at; it cannot be gone on with.
        if fs::metadata(&part).is_ok_and(|part| part.len() >= size as u64) {
            fs::remove_file(&part).map_err(Error::io("remove", &part))?;
        }
        let bar = Bar {
            job: self.job.clone(),
            task: None,
        };
        let asked = name.clone();
        let pointer = self
            .apart(move || repo.download_with_progress(&asked, bar))?
            .map_err(|error| self.told(id, name, &error))?;
        let blob = cached.blob_path(etag);
        let found = fs::metadata(&blob).map_err(Error::io("read", &blob))?.len();
        let problem = if found != size as u64 {
            Some(format!("has {found} bytes, not {size}"))
        } else if is_sha256(etag) {
            let sum = files::checksum(&blob)?;
            (sum != etag).then(|| format!("has the checksum {sum}, not {etag}"))
        } else {
            None
        };
        let Some(problem) = problem else {
            return Ok(());
        };
        for path in [&pointer, &blob] {
            fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
        Err(Error::Hub(format!(
            "{name} of {id} {problem}, and was removed; run again to download it anew"
        )))
    }

    fn api(&self) -> Result<Api> {
        /// A connection that is cut is taken up again so often.
        const RETRIES: usize = 5;
        let token = self.config.token.as_ref().map(ExposeSecret::expose_secret);
        let cache = Cache::new(self.config.cache.clone());
        // Python's library keeps the token of whoever has logged in beside the cache.
        let token = token.map(str::to_string).or_else(|| cache.token());
        ApiBuilder::from_cache(cache)
            .with_endpoint(self.config.endpoint.trim_end_matches('/').to_string())
            .with_token(token)
            .with_retries(RETRIES)
            .build()
            .map_err(|error| Error::Hub(format!("cannot ask {}: {error}", self.config.endpoint)))
    }

    /// Does `work` on a thread of its own, which is left alone when someone asks the job to stop.
    fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(work()));
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

    /// A failure in one line that says what to do.
    fn told(&self, id: &str, what: &str, error: &ApiError) -> Error {
        let endpoint = &self.config.endpoint;
        let mut inner = error;
        while let ApiError::TooManyRetries(cause) = inner {
            inner = cause;
        }
        let status = match inner {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(status) => Some(status),
                _ => None,
            },
            _ => None,
        };
        Error::Hub(match status {
            Some(401 | 403) => format!(
                "{id} is gated or private: ask for access on {endpoint}/{id}, then set HF_TOKEN to a token of that account"
            ),
            Some(404) => format!(
                "there is no folder {id} here, and no {what} of a model {id} at {endpoint}; check the name"
            ),
            _ => format!(
                "cannot download {what} of {id}: {inner}; run again to go on where it stopped"
            ),
        })
    }
}

/// The repository that a name stands for: `owner/name`, perhaps with `@revision`.
fn repo(name: &str) -> Option<Repo> {
    let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
    let (owner, model) = id.split_once('/')?;
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    let fits = plain(owner) && plain(model) && !revision.is_empty();
    fits.then(|| Repo::with_revision(id.to_string(), RepoType::Model, revision.to_string()))
}

/// The snapshot of a revision, which may be a commit.
fn snapshot(cached: &CacheRepo, revision: &str) -> Option<PathBuf> {
    let of_branch = ["config.json", "adapter_config.json"]
        .iter()
        .find_map(|name| Some(cached.get(name)?.parent()?.to_path_buf()));
    let of_commit = || Some(cached.pointer_path(revision)).filter(|folder| folder.is_dir());
    of_branch.or_else(of_commit)
}

/// What a snapshot lacks of a model, if it lacks anything.
fn missing(folder: &Path) -> Option<String> {
    if !folder.join("config.json").is_file() && !folder.join("adapter_config.json").is_file() {
        return Some("config.json".into());
    }
    let tokenizers = ["tokenizer.json", "spm.model", "tokenizer.model"];
    if folder.join("config.json").is_file()
        && !tokenizers.iter().any(|name| folder.join(name).is_file())
    {
        return Some("a tokenizer".into());
    }
    let Some(weights) = WEIGHTS.iter().find(|name| folder.join(name).is_file()) else {
        return Some("weights".into());
    };
    if !weights.ends_with(".index.json") {
        return None;
    }
    let index: Index = files::read_json(&folder.join(weights)).ok()?;
    let mut shards = index.weight_map.into_values();
    shards.find(|shard| !folder.join(shard).is_file())
}

fn part_path(cached: &CacheRepo, etag: &str) -> PathBuf {
    cached.blob_path(etag).with_extension("part")
}

fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A download's progress.
struct Bar {
    job: Job,
    task: Option<Box<dyn Task>>,
}

impl hf_hub::api::Progress for Bar {
    fn init(&mut self, size: usize, filename: &str) {
        // It begins anew when a connection was cut.
        self.task = Some(self.job.progress.task(filename, size, "bytes"));
    }

    fn update(&mut self, size: usize) {
        if let Some(task) = &self.task {
            task.advance(size);
        }
    }

    fn finish(&mut self) {
        self.task = None;
    }
}
