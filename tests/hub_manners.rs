//! Downloads from hubs and mirrors that answer in different manners, and from servers that mean harm.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use apc::hub::{Hub, HubConfig};
use apc::progress::{Job, Progress, Silent, Task};

use super::hub_server::{COMMIT, Etag, Gzip, HubServer, Manner, Place, Repository, sha256};

const ID: &str = "acme/judge";
const TOKEN: &str = "hf_secret";

/// Bytes that look like nothing in particular.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn files() -> BTreeMap<String, Vec<u8>> {
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

fn repository(manner: Manner) -> Repository {
    Repository {
        files: files(),
        manner,
        ..Repository::default()
    }
}

fn real() -> Manner {
    Manner {
        small: Place::Relative,
        large: Place::Elsewhere,
        gzip: Gzip::Asked,
        ..Manner::default()
    }
}

fn mirror() -> Manner {
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
fn manners() -> Vec<(&'static str, Manner)> {
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

fn config(server: &HubServer, cache: &Path) -> HubConfig {
    let mut config = HubConfig::new(cache.join("hub"));
    config.endpoint = server.address.clone();
    config
}

fn folder(config: HubConfig) -> apc::Result<PathBuf> {
    Hub::new(config, &Job::default())?.folder(Path::new(ID))
}

/// Checks that the cache holds the model as Python's library has it, and nothing else.
fn check(cache: &Path, folder: &Path, what: &str) {
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

/// Runs a download that must fail with an error that has all parts, and must write nothing outside the model's place.
fn refused(repository: Repository, parts: &[&str]) {
    let server = HubServer::new(&[(ID, repository)]);
    let around = tempfile::tempdir().unwrap();
    let cache = around.path().join("a/b/c");
    let told = folder(config(&server, &cache)).unwrap_err().to_string();
    for part in parts {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        !told.contains('\u{1b}') && told.lines().count() == 1,
        "{told:?}"
    );
    assert!(told.chars().count() < 1000, "{told}");
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    for (folder, at_most) in [
        (around.path(), 1),
        (&around.path().join("a/b"), 1),
        (&cache, 1),
    ] {
        assert!(names(folder).len() <= at_most, "{:?}", names(folder));
    }
    assert!(!cache.join("hub/models--acme--judge/refs").exists());
}

#[test]
fn a_commit_that_is_a_path_is_refused() {
    for commit in ["/tmp/elsewhere", "../../../x", "", "main", &"a".repeat(100)] {
        let hostile = Repository {
            commit: Some(commit.into()),
            ..repository(real())
        };
        refused(hostile, &["as the commit of acme/judge", "which is none"]);
    }
}

#[test]
fn an_index_that_names_files_outside_its_folder_is_refused() {
    for shard in [
        "/etc/passwd",
        "../../../x",
        "a/../../x",
        "a\\..\\x",
        "\u{1b}[31m",
    ] {
        let index = serde_json::json!({"weight_map": {"weight": shard}});
        let mut hostile = repository(real());
        hostile.files.remove("model.safetensors");
        hostile.files.insert(
            "model.safetensors.index.json".into(),
            index.to_string().into(),
        );
        refused(
            hostile,
            &[
                "model.safetensors.index.json",
                "weight_map",
                "no file of its folder",
            ],
        );
    }
}

#[test]
fn a_mirrors_file_is_checked_against_the_listing() {
    let lists = Manner {
        blobs: true,
        chunked: true,
        ..mirror()
    };
    let file = "model.safetensors";
    let wrong = Repository {
        wrong: Some(file.into()),
        ..repository(lists.clone())
    };
    refused(wrong, &[file, "has the checksum", "run again"]);
    let git_hash = "e".repeat(40);
    let wrong = Repository {
        wrong: Some(file.into()),
        ..repository(Manner {
            etag: Etag::Other(format!("\"{git_hash}\"")),
            ..lists.clone()
        })
    };
    refused(wrong, &[file, "has the checksum", "run again"]);
    let longer = Repository {
        size: Some((file.into(), 399_999)),
        ..repository(lists.clone())
    };
    refused(longer, &[file, "longer than the 399999 bytes"]);
}

#[test]
fn a_busy_hub_is_asked_again_and_one_that_wants_a_long_wait_is_told_of() {
    let busy = |times, head| Repository {
        busy: (times, head),
        ..repository(real())
    };
    let server = HubServer::new(&[(ID, busy(2, "HTTP/1.1 503 Busy"))]);
    let cache = tempfile::tempdir().unwrap();
    check(
        cache.path(),
        &folder(config(&server, cache.path())).unwrap(),
        "busy",
    );
    let head = "HTTP/1.1 429 Enough\r\nRetry-After: 1000000000\r\nX-Error-Message: too many";
    refused(
        busy(usize::MAX, head),
        &["config.json", "answers 429, too many", "run again"],
    );
}

#[test]
fn a_refusal_of_another_server_is_not_told_as_one_of_the_hub() {
    let expired = Repository {
        expired: true,
        ..repository(real())
    };
    refused(
        expired,
        &["cannot download model.safetensors", "answers 403, no"],
    );
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

#[test]
fn a_server_that_never_ends_is_left() {
    for (head, text, parts) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: ?again\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "more than 10 redirects"],
        ),
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "302 without a Location"],
        ),
        (
            "HTTP/1.1 307 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "file:///etc/passwd, which is no address"],
        ),
        (
            "HTTP/1.1 418 No\r\n\r\n",
            "\u{1b}[31m no\n",
            ["config.json", "answers 418, \u{fffd}[31m no"],
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Linked-Size: 700\r\nETag: \"x\"\r\n\r\n",
            "more ",
            ["config.json", "longer than the 700 bytes"],
        ),
    ] {
        let endless = Repository {
            endless: Some((head, text)),
            ..repository(real())
        };
        refused(endless, &parts);
    }
}

#[test]
fn a_model_that_strangers_may_not_see_may_not_exist() {
    let server = HubServer::new(&[(ID, repository(real()))]);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(&server, cache.path()), &Job::default()).unwrap();
    let told = hub
        .folder(Path::new("hidden/typo"))
        .unwrap_err()
        .to_string();
    for part in [
        "no such model hidden/typo",
        "or it is gated",
        "check the name",
        "HF_TOKEN",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_revision_that_is_a_path_or_a_query_is_refused_before_anything_is_asked() {
    let server = HubServer::new(&[(ID, repository(real()))]);
    let cache = tempfile::tempdir().unwrap();
    for revision in ["/tmp/x", "../../x", "main?x=y", ""] {
        let hub = Hub::new(config(&server, cache.path()), &Job::default()).unwrap();
        let name = format!("{ID}@{revision}");
        for told in [
            hub.folder(Path::new(&name)).unwrap_err(),
            hub.checkpoint(Path::new(&name)).err().unwrap(),
        ] {
            let told = told.to_string();
            assert!(told.contains("a branch, a tag or a commit"), "{told}");
        }
    }
    assert!(server.log().is_empty());
    // What git allows is asked for as it is written.
    let hub = Hub::new(config(&server, cache.path()), &Job::default()).unwrap();
    hub.folder(Path::new(&format!("{ID}@a#b/c%"))).unwrap();
    assert_eq!(
        server.log()[0].path,
        "/api/models/acme/judge/revision/a%23b%2Fc%25"
    );
}

#[test]
fn the_token_of_whoever_has_logged_in_is_read_from_its_file() {
    let gated = Repository {
        token: Some(TOKEN.into()),
        ..repository(real())
    };
    let server = HubServer::new(&[(ID, gated)]);
    let cache = tempfile::tempdir().unwrap();
    let mut config = config(&server, cache.path());
    let file = cache.path().join("elsewhere-token");
    config.token_file = Some(file.clone());
    fs::write(&file, "one two").unwrap();
    let told = folder(config.clone()).unwrap_err().to_string();
    assert!(told.contains("elsewhere-token has a space"), "{told}");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    folder(config).unwrap();
}
