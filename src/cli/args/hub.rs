//! Models by name: hub and cache from the environment.

use std::path::{Path, PathBuf};

use crate::files::Checkpoint;
use crate::hub::{Hub, HubConfig};
use crate::progress::Job;
pub(crate) use crate::tiny::EMBEDDED;
use crate::tiny::Embedded;
use crate::{Error, Result};

/// Returns the user's cache folder.
pub(crate) fn caches() -> PathBuf {
    let folder = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    folder
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .unwrap_or_default()
}

/// Reads the hub's settings from the environment variables of its Python library, today's and older ones.
pub(crate) fn config() -> HubConfig {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let folder = |names: &[&str]| first(names).map(|path| at_home(&path));
    let is_set = |name: &str| {
        let yes =
            |value: String| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        variable(name).is_some_and(yes)
    };
    let home = folder(&["HF_HOME"]).unwrap_or_else(|| caches().join("huggingface"));
    let cache = folder(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]);
    let mut config = HubConfig::new(cache.unwrap_or_else(|| home.join("hub")));
    if let Some(endpoint) = variable("HF_ENDPOINT") {
        config.endpoint = endpoint;
    }
    if let Some(address) = variable("APC_PROMPTS_URL") {
        config.prompts = address;
    }
    config.token_file = Some(folder(&["HF_TOKEN_PATH"]).unwrap_or_else(|| home.join("token")));
    if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        config.token_file = None;
    } else {
        config.token =
            first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN"]).map(Into::into);
    }
    config.symlinks = !is_set("HF_HUB_DISABLE_SYMLINKS");
    config.offline = is_set("HF_HUB_OFFLINE");
    config
}

/// Reads `~/` as the user's folder, for those who write it where no shell does.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// Finds a model by its folder, by its name on the hub, or as an embedded one.
pub(crate) fn checkpoint(name: &Path, job: &Job) -> Result<Checkpoint> {
    match embedded(name)? {
        Some(checkpoint) => Ok(checkpoint),
        None => Hub::new(config(), job)?.checkpoint(name),
    }
}

/// An embedded model by its name: `embedded` is the Gemma, `embedded/nli` a judge; none if this is no such name.
pub(crate) fn embedded(name: &Path) -> Result<Option<Checkpoint>> {
    let Ok(judge) = name.strip_prefix(EMBEDDED) else {
        return Ok(None);
    };
    if judge.as_os_str().is_empty() {
        return Ok(Some(Embedded::Gemma.checkpoint()));
    }
    match judge.to_str().and_then(Embedded::from_name) {
        Some(found) => Ok(Some(found.checkpoint())),
        None => {
            let names = Embedded::ALL.map(Embedded::name).join(", ");
            let reason = format!("is no embedded model; there are {names}");
            Err(Error::invalid(name, reason))
        }
    }
}

/// Finds a model's folder by its path or by its name on the hub.
pub(crate) fn folder(name: &Path, job: &Job) -> Result<PathBuf> {
    Hub::new(config(), job)?.folder(name)
}
