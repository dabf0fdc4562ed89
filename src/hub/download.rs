//! A whole model: which files it needs, and their download.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::cache::{self, Snapshot, Symlink};
use super::client::Client;
use super::failure::{Failure, printable, to_error};
use super::file::{Download, Facts, facts};
use super::name::{Name, is_commit};
use crate::{Error, Result, files};

/// Files of a model beside its weights, where it has them.
const COMPANIONS: [&str; 14] = [
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
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
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

/// A model on the hub, at the commit that its revision stands for now.
pub(super) struct Model<'a> {
    client: &'a Client,
    cache: &'a Path,
    name: &'a Name,
    commit: String,
    files: BTreeSet<String>,
    snapshot: Snapshot,
    /// Sizes and checksums from the hub's listing, requested only if a file's headers lack them.
    listed: OnceCell<BTreeMap<String, Facts>>,
}

/// A file to be downloaded.
struct Wanted {
    name: String,
    url: Url,
    facts: Facts,
    /// How its part and its lock are called.
    key: String,
}

/// The hub's description of a model.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

/// Downloads what the cache lacks of a model, and returns the folder of its snapshot.
pub(super) fn download(
    client: &Client,
    cache: &Path,
    name: &Name,
    symlink: Symlink,
) -> Result<PathBuf> {
    let Name { id, revision } = name;
    let url = client.url(model_path(id, revision));
    let info: Info = client
        .json(&url)
        .map_err(|failure| to_error(client, name, None, failure))?;
    if !is_commit(&info.sha) {
        let sha = printable(&info.sha);
        return Err(Error::Hub(format!(
            "{} gives {sha:?} as the commit of {id}, which is none",
            client.shown()
        )));
    }
    let model = Model {
        client,
        cache,
        name,
        files: info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect(),
        // All files of one commit, whatever happens to the branch meanwhile.
        snapshot: Snapshot::new(cache, name, &info.sha, symlink),
        commit: info.sha,
        listed: OnceCell::new(),
    };
    model.fetch_all()?;
    // The branch points to the commit once all of it is there.
    cache::point(cache, name, &model.commit)?;
    Ok(model.snapshot.folder)
}

fn model_path<'a>(id: &'a str, revision: &'a str) -> impl Iterator<Item = &'a str> {
    ["api", "models"]
        .into_iter()
        .chain(id.split('/'))
        .chain(["revision", revision])
}

impl Model<'_> {
    fn fetch_all(&self) -> Result<()> {
        let id = &self.name.id;
        let weights = WEIGHTS.into_iter().find(|name| self.files.contains(*name));
        let weights = weights.ok_or_else(|| {
            Error::Hub(format!(
                "{id} at {} has no weights that can be read: none of {}",
                self.client.shown(),
                WEIGHTS.join(", ")
            ))
        })?;
        let companions = COMPANIONS
            .into_iter()
            .filter(|name| self.files.contains(*name));
        self.fetch(companions.chain([weights]))?;
        if weights.ends_with(".index.json") {
            let shards = shards(&self.snapshot.pointer(weights))?;
            self.fetch(shards.iter().map(String::as_str))?;
        }
        Ok(())
    }

    /// Downloads those of the files that the cache lacks.
    fn fetch<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<()> {
        let mut wanted = Vec::new();
        for name in names.filter(|name| !self.snapshot.pointer(name).exists()) {
            let file = self.ask(name);
            wanted.push(
                file.map_err(|failure| to_error(self.client, self.name, Some(name), failure))?,
            );
        }
        let room = self.check_space(&wanted)?;
        wanted
            .iter()
            .try_for_each(|file| self.fetch_one(file, room))
    }

    /// Asks what the hub says of a file.
    fn ask(&self, name: &str) -> Result<Wanted, Failure> {
        let id = self.name.id.split('/');
        let parts = id.chain(["resolve", &self.commit]).chain(name.split('/'));
        let url = self.client.url(parts);
        let mut facts = facts(self.client, &url)?;
        let is_vague = facts.size.is_none() || facts.checksum.is_none();
        // The hash that git has of a large file is that of a pointer to it, not of its bytes.
        let is_unsure = !is_small(name) && facts.sha256().is_none();
        if (is_vague || is_unsure)
            && let Some(listed) = self.listed()?.get(name)
        {
            facts.size = facts.size.or(listed.size);
            if facts.checksum.is_none() || listed.sha256().is_some() {
                facts.checksum = listed.checksum.clone();
                // Git's hash of a large file may be that of a pointer to it.
                facts.is_git_hash = listed.is_git_hash && is_small(name);
            }
        }
        let key = facts.checksum.clone();
        // Without a checksum a file of a commit has its name alone.
        let key = key.unwrap_or_else(|| files::checksum_of(format!("{}/{name}", self.commit)));
        Ok(Wanted {
            name: name.to_string(),
            url,
            facts,
            key,
        })
    }

    /// What the listing tells of the files; nothing, if the hub has no such listing.
    fn listed(&self) -> Result<&BTreeMap<String, Facts>> {
        if let Some(listed) = self.listed.get() {
            return Ok(listed);
        }
        let mut url = self.client.url(model_path(&self.name.id, &self.commit));
        url.set_query(Some("blobs=true"));
        let listed = match self.client.json::<Info>(&url) {
            Ok(info) => info.siblings.into_iter().map(Sibling::facts).collect(),
            Err(Failure::Other(error)) => return Err(error),
            // It is a help, and not all mirrors have it.
            Err(_) => BTreeMap::new(),
        };
        Ok(self.listed.get_or_init(|| listed))
    }

    /// Returns the room on the disk, or an error if it has none for what is to come.
    fn check_space(&self, wanted: &[Wanted]) -> Result<u64> {
        let missing = |file: &Wanted| {
            let part = self.snapshot.part(&file.key);
            let there = fs::metadata(part).map_or(0, |part| part.len());
            file.facts.size.unwrap_or(0).saturating_sub(there)
        };
        let needed = wanted.iter().map(missing).fold(0, u64::saturating_add);
        files::create_dir(self.cache)?;
        let free = fs4::available_space(self.cache)
            .map_err(Error::io("ask for the free space of", self.cache))?;
        if needed > free {
            let size = bytesize::ByteSize;
            return Err(Error::Hub(format!(
                "{} needs {} more, but {} has {} left; make room, or set HF_HOME to another disk",
                self.name.id,
                size(needed),
                self.cache.display(),
                size(free)
            )));
        }
        Ok(free)
    }

    fn fetch_one(&self, file: &Wanted, room: u64) -> Result<()> {
        let Wanted {
            name,
            url,
            facts,
            key,
        } = file;
        let part = self.snapshot.part(key);
        if let Some(folder) = part.parent() {
            files::create_dir(folder)?;
        }
        let _lock = self.snapshot.lock(key, name, &self.client.job)?;
        // Another program may have been quicker, or another commit has the same file.
        if self.snapshot.pointer(name).exists() {
            return Ok(());
        }
        if let Some(checksum) = &facts.checksum {
            let there = fs::metadata(self.snapshot.blob(checksum)).ok();
            if there.is_some_and(|blob| facts.size.is_none_or(|size| size == blob.len())) {
                return self.snapshot.link(checksum, name, false);
            }
        }
        let download = Download {
            client: self.client,
            url,
            label: name,
            facts,
            // Small files do not fill the disk, whatever a server sends.
            room: if is_small(name) {
                room.min(1 << 30)
            } else {
                room
            },
        };
        let mut resumed = part.exists();
        let problem = loop {
            let has = fs::metadata(&part).map_or(0, |part| part.len());
            if has == 0 || facts.size != Some(has) {
                let done = download.run(&part);
                done.map_err(|failure| to_error(self.client, self.name, Some(name), failure))?;
            }
            let problem = download.problem(&part)?;
            if problem.is_none() {
                break None;
            }
            remove(&part)?;
            // The fault may be in what an earlier run left.
            if !resumed {
                break problem;
            }
            resumed = false;
        };
        match problem {
            None => {
                let checksum = match &facts.checksum {
                    Some(checksum) => checksum.clone(),
                    None => files::checksum(&part)?,
                };
                self.snapshot.place(&part, &checksum, name)
            }
            Some(problem) => Err(Error::Hub(format!(
                "{name} of {} {problem}, and was removed; run again to download it anew",
                self.name.id
            ))),
        }
    }
}

impl Sibling {
    fn facts(self) -> (String, Facts) {
        let sha256 = self.lfs.and_then(|lfs| lfs.sha256);
        let checksum = sha256.or(self.blob_id);
        let checksum = checksum.filter(|sum| is_commit(sum) && matches!(sum.len(), 40 | 64));
        let facts = Facts {
            is_git_hash: checksum.as_ref().is_some_and(|sum| sum.len() == 40),
            checksum: checksum.map(|sum| sum.to_lowercase()),
            size: self.size,
        };
        (self.rfilename, facts)
    }
}

/// Whether a file is none of weights.
fn is_small(name: &str) -> bool {
    COMPANIONS.contains(&name) || name.ends_with(".json")
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_file(path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}

/// The shards that an index in a snapshot names.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    files::shard_names(index, &files::read_text(index)?)
}

/// What a snapshot lacks of a model, if it lacks anything.
pub(super) fn missing(folder: &Path) -> Option<String> {
    let has = |name: &str| folder.join(name).is_file();
    if !has("config.json") && !has("adapter_config.json") {
        return Some("config.json".into());
    }
    let tokenizers = ["tokenizer.json", "spm.model", "tokenizer.model"];
    if has("config.json") && !tokenizers.into_iter().any(has) {
        return Some("a tokenizer".into());
    }
    let Some(weights) = WEIGHTS.into_iter().find(|name| has(name)) else {
        return Some("weights".into());
    };
    if !weights.ends_with(".index.json") {
        return None;
    }
    // An unreadable index is reported when the model is loaded.
    let shards = shards(&folder.join(weights)).ok()?;
    shards.into_iter().find(|shard| !has(shard))
}
