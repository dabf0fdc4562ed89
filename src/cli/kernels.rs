//! The cache of compiled kernels and autotune results between runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cubecl::config::cache::CacheConfig;
use cubecl::config::compilation::CompilationLogLevel;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use log::{LevelFilter, Log, Metadata, Record};

use crate::cli::args::hub;
use crate::progress::Job;

/// Keeps kernels in the user's cache folder, and prints a note when the first one is compiled.
///
/// Burn's backends compile a kernel when it is first used and benchmark several for each matrix product. By default the
/// benchmarks are kept below the current folder, if that is a Rust project, and the kernels are not kept at all. A
/// `cubecl.toml` or `burn.toml` at or above the current folder takes precedence, and so do cubecl's variables.
pub(super) fn keep(job: &Job) {
    let mut config = CubeClRuntimeConfig::from_current_dir();
    if !std::env::current_dir().is_ok_and(|folder| has_config(&folder)) {
        config.environment.path = CacheConfig::Directory(hub::caches().join("apc/kernels"));
        config.compilation.cache = true;
        config.compilation.logger.level = CompilationLogLevel::Basic;
        config.compilation.logger.log = Some(Default::default());
        let announcer = Announcer {
            job: job.clone(),
            told: AtomicBool::new(false),
        };
        if log::set_boxed_logger(Box::new(announcer)).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
    }
    // A second device of the same run finds it set already.
    CubeClRuntimeConfig::try_set(config.override_from_env());
}

/// Reports the first kernel that is compiled and ignores all other log messages.
struct Announcer {
    job: Job,
    told: AtomicBool,
}

impl Log for Announcer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cubecl::compilation"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) && !self.told.swap(true, Ordering::Relaxed) {
            self.job.progress.note(
                "compiling kernels for this device and choosing the fastest, which takes a while at the first step; \
                 later runs reuse them",
            );
        }
    }

    fn flush(&self) {}
}

/// Whether a folder or one of its parents has a file that configures the backends.
fn has_config(folder: &Path) -> bool {
    let sections = CubeClRuntimeConfig::section_file_names();
    let names = CubeClRuntimeConfig::file_names()
        .iter()
        .chain(sections.iter().map(|(name, _)| name));
    folder
        .ancestors()
        .any(|folder| names.clone().any(|name| folder.join(name).exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_users_is_found_at_or_above_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(!has_config(&below));
        std::fs::write(folder.path().join("a/burn.toml"), "").unwrap();
        assert!(has_config(&below) && !has_config(folder.path()));
    }
}
