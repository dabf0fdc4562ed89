//! Downloads from hubs and mirrors that answer in different manners, and from servers that mean harm.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use apc::hub::{Hub, HubConfig};
use apc::progress::{Job, Progress, Silent, Task};

use super::hub_server::{COMMIT, Etag, Gzip, HubServer, Manner, Place, Repository, sha256};

pub(crate) const ID: &str = "acme/judge";
pub(crate) const TOKEN: &str = "hf_secret";

/// Bytes that look like nothing in particular.
pub(crate) fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn files() -> BTreeMap<String, Vec<u8>> {
    [
        ("config.json", bytes(700, 1)),
        ("tokenizer.json", bytes(40_000, 2)),
        ("special_tokens_map.json", Vec::new()),
        ("model.safetensors", bytes(400_000, 3)),
        ("README.md", bytes(10, 4)),
    ]
    .map(|(name, bytes)| (name.to_string(), bytes))
    .into()
}

pub(crate) fn repository(manner: Manner) -> Repository {
    Repository {
        files: files(),
        manner,
        ..Repository::default()
    }
}

pub(crate) fn real() -> Manner {
    Manner {
        small: Place::Relative,
        large: Place::Elsewhere,
        gzip: Gzip::Asked,
        ..Manner::default()
    }
}

pub(crate) fn mirror() -> Manner {
    Manner {
        small: Place::Elsewhere,
        large: Place::Elsewhere,
        etag: Etag::Missing,
        no_commit: true,
        no_ranges: true,
        ..Manner::default()
    }
}

/// What hubs and mirrors do, one at a time and together.
pub(crate) fn manners() -> Vec<(&'static str, Manner)> {
    let etag = |etag| Manner { etag, ..real() };
    vec![
        ("plain", Manner::default()),
        ("the real hub", real()),
        (
            "gzip for everybody",
            Manner {
                gzip: Gzip::Always,
                ..real()
            },
        ),
        ("mirror", mirror()),
        (
            "mirror without lengths",
            Manner {
                chunked: true,
                ..mirror()
            },
        ),
        (
            "mirror that lists sizes",
            Manner {
                chunked: true,
                blobs: true,
                ..mirror()
            },
        ),
        ("weak etag", etag(Etag::Weak)),
        (
            "etag of another kind",
            etag(Etag::Other("\"5f3c-6a1b\"".into())),
        ),
        (
            "etag that is a path",
            etag(Etag::Other("\"../../../../x\"".into())),
        ),
        (
            "no range",
            Manner {
                no_ranges: true,
                ..real()
            },
        ),
        (
            "large files by relative redirects",
            Manner {
                large: Place::Relative,
                ..real()
            },
        ),
    ]
}

pub(crate) fn config(server: &HubServer, cache: &Path) -> HubConfig {
    let mut config = HubConfig::new(cache.join("hub"));
    config.endpoint = server.address.clone();
    config
}

pub(crate) fn folder(config: HubConfig) -> apc::Result<PathBuf> {
    Hub::new(config, &Job::default())?.folder(Path::new(ID))
}

/// Checks that the cache holds the model as Python's library has it, and nothing else.
pub(crate) fn check(cache: &Path, folder: &Path, what: &str) {
    let expected = files();
    let place = cache.join("hub/models--acme--judge");
    assert_eq!(folder, place.join("snapshots").join(COMMIT), "{what}");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted: Vec<_> = expected
        .keys()
        .filter(|name| *name != "README.md")
        .collect();
    assert_eq!(names.iter().collect::<Vec<_>>(), wanted, "{what}");
    for name in names {
        assert!(
            fs::read(folder.join(&name)).unwrap() == expected[&name],
            "{what}: {name}"
        );
    }
    assert_eq!(
        fs::read_to_string(place.join("refs/main")).unwrap(),
        COMMIT,
        "{what}"
    );
    for blob in fs::read_dir(place.join("blobs")).unwrap() {
        let name = blob.unwrap().file_name().into_string().unwrap();
        assert!(
            name.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{what}: {name}"
        );
    }
    let outside: Vec<_> = fs::read_dir(cache.join("hub")).unwrap().collect();
    assert_eq!(outside.len(), 2, "{what}: {outside:?}"); // the model and the locks
}

/// Uses what is there with no hub at all.
fn check_offline(cache: &Path, server: &HubServer, what: &str) {
    let n_requests = server.log().len();
    let mut offline = config(server, cache);
    offline.offline = true;
    check(cache, &folder(offline).unwrap(), what);
    check(cache, &folder(config(server, cache)).unwrap(), what);
    assert_eq!(server.log().len(), n_requests, "{what}: the cache is whole");
}

#[test]
fn every_manner_of_hub_gives_the_same_files_however_often_it_is_cut() {
    let run = |what: &str, manner: &Manner, cuts: &[usize], symlinks: bool| {
        let what = format!("{what}, cut at {cuts:?}, symlinks {symlinks}");
        let cut = Repository {
            cuts: cuts.to_vec(),
            cuts_all: true,
            ..repository(manner.clone())
        };
        let server = HubServer::new(&[(ID, cut)]);
        let cache = tempfile::tempdir().unwrap();
        let mut config = config(&server, cache.path());
        config.symlinks = symlinks;
        let folder = folder(config).unwrap_or_else(|error| panic!("{what}: {error}"));
        check(cache.path(), &folder, &what);
        let model = folder.join("model.safetensors");
        assert_eq!(model.is_symlink(), symlinks, "{what}");
        check_offline(cache.path(), &server, &what);
    };
    std::thread::scope(|scope| {
        for (what, manner) in manners() {
            scope.spawn(move || {
                for cuts in [&[][..], &[0], &[1, 300_000], &[30_000, 200_000, 99]] {
                    run(what, &manner, cuts, true);
                }
                run(what, &manner, &[200_000], false);
            });
        }
    });
}

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_address() {
    for (what, manner) in manners() {
        let gated = Repository {
            token: Some(TOKEN.into()),
            ..repository(manner)
        };
        let server = HubServer::new(&[(ID, gated)]);
        let cache = tempfile::tempdir().unwrap();
        let mut config = config(&server, cache.path());
        config.token = Some(TOKEN.into());
        check(cache.path(), &folder(config).unwrap(), what);
        for asked in server.log() {
            let expected = (!asked.elsewhere).then_some(TOKEN);
            assert_eq!(asked.token.as_deref(), expected, "{what}: {asked:?}");
        }
    }
}

/// Asks the job to stop once so much of a file has come.
struct Stopper {
    job: Arc<Mutex<Option<Job>>>,
    file: &'static str,
}

impl Progress for Stopper {
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task> {
        if label == self.file {
            Box::new(Stop(self.job.clone()))
        } else {
            Silent.task(label, total, unit)
        }
    }
    fn note(&self, _line: &str) {}
}

struct Stop(Arc<Mutex<Option<Job>>>);

impl Task for Stop {
    fn advance(&self, units: usize) {
        if units > 0
            && let Some(job) = &*self.0.lock().unwrap()
        {
            job.stop();
        }
    }
    fn resume(&self, _units: usize) {}
    fn message(&self, _message: &str) {}
}

#[test]
fn a_run_that_was_stopped_is_gone_on_with_where_the_hub_has_ranges() {
    for (what, manner) in manners() {
        let has_ranges = !manner.no_ranges && manner.gzip != Gzip::Always;
        let server = HubServer::new(&[(ID, repository(manner))]);
        let cache = tempfile::tempdir().unwrap();
        let shared = Arc::new(Mutex::new(None));
        let stopper = Stopper {
            job: shared.clone(),
            file: "model.safetensors",
        };
        let job = Job::new(Arc::new(stopper));
        *shared.lock().unwrap() = Some(job.clone());
        let hub = Hub::new(config(&server, cache.path()), &job).unwrap();
        let stopped = hub.folder(Path::new(ID)).unwrap_err();
        assert!(
            matches!(stopped, apc::Error::Interrupted),
            "{what}: {stopped}"
        );

        check(
            cache.path(),
            &folder(config(&server, cache.path())).unwrap(),
            what,
        );
        let last = *server.downloads("model.safetensors").last().unwrap();
        assert!(last > 0 || !has_ranges, "{what}: {last}");
        check_offline(cache.path(), &server, what);
    }
}

#[test]
fn a_part_of_other_bytes_is_thrown_away_in_the_same_run() {
    for len in [10, 400_000, 500_000] {
        let server = HubServer::new(&[(ID, repository(real()))]);
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("hub/models--acme--judge/blobs");
        fs::create_dir_all(&blobs).unwrap();
        let checksum = sha256(&files()["model.safetensors"]);
        let part = blobs.join(format!("{checksum}.apc.part"));
        fs::write(&part, bytes(len, 9)).unwrap();
        check(
            cache.path(),
            &folder(config(&server, cache.path())).unwrap(),
            &len.to_string(),
        );
    }
}

#[test]
fn programs_that_download_at_once_share_one_download() {
    let server = HubServer::new(&[(ID, repository(real()))]);
    let cache = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let folder = folder(config(&server, cache.path())).unwrap();
                check(cache.path(), &folder, "at once");
            });
        }
    });
}

#[test]
fn a_new_commit_shares_the_files_that_did_not_change() {
    let old = repository(real());
    let server = HubServer::new(&[(ID, old.clone())]);
    let cache = tempfile::tempdir().unwrap();
    folder(config(&server, cache.path())).unwrap();
    let commit = "f".repeat(40);
    let mut new = Repository {
        commit: Some(commit.clone()),
        ..old
    };
    new.files.insert("config.json".into(), bytes(600, 7));
    let server = HubServer::new(&[(ID, new)]);
    let hub = Hub::new(config(&server, cache.path()), &Job::default()).unwrap();
    let folder = hub.folder(Path::new(&format!("{ID}@{commit}"))).unwrap();
    assert!(folder.ends_with(&commit));
    assert!(fs::read(folder.join("config.json")).unwrap() == bytes(600, 7));
    assert!(fs::read(folder.join("model.safetensors")).unwrap() == files()["model.safetensors"]);
    assert!(server.downloads("model.safetensors").is_empty());
}

#[test]
fn an_adapter_without_safetensors_is_downloaded() {
    let mut old = Repository::default();
    for name in ["adapter_config.json", "adapter_model.bin"] {
        old.files.insert(name.into(), bytes(100, 1));
    }
    let server = HubServer::new(&[(ID, old)]);
    let cache = tempfile::tempdir().unwrap();
    let folder = folder(config(&server, cache.path())).unwrap();
    assert!(fs::read(folder.join("adapter_model.bin")).unwrap() == bytes(100, 1));
}
