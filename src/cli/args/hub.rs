//! Models by name: hub and cache from the environment.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::files::Checkpoint;
use crate::hub::{Hub, HubConfig};
use crate::progress::Job;
pub(crate) use crate::tiny::EMBEDDED;
use crate::tiny::Embedded;

/// Returns the user's cache folder.
pub(crate) fn caches() -> PathBuf {
    let folder = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    folder
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .unwrap_or_default()
}

/// Reads the hub's settings from the environment variables of its Python library.
pub(crate) fn config() -> HubConfig {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let home = || folder("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
    let yes = |value: String| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
    let mut config = HubConfig::new(folder("HF_HUB_CACHE").unwrap_or_else(|| home().join("hub")));
    if let Some(endpoint) = variable("HF_ENDPOINT") {
        config.endpoint = endpoint;
    }
    if let Some(address) = variable("APC_PROMPTS_URL") {
        config.prompts = address;
    }
    config.token = variable("HF_TOKEN").map(Into::into);
    config.offline = variable("HF_HUB_OFFLINE").is_some_and(yes);
    config
}

/// Finds a model by its folder, by its name on the hub, or as the embedded one.
pub(crate) fn checkpoint(name: &Path, job: &Job) -> Result<Checkpoint> {
    if name == Path::new(EMBEDDED) {
        return Ok(Embedded::Gemma.checkpoint());
    }
    Hub::new(config(), job)?.checkpoint(name)
}

/// Finds a model's folder by its path or by its name on the hub.
pub(crate) fn folder(name: &Path, job: &Job) -> Result<PathBuf> {
    Hub::new(config(), job)?.folder(name)
}
