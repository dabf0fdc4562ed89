//! Hubs that mean harm, refuse or never end.

use std::fs;
use std::path::Path;

use apc::hub::Hub;
use apc::progress::Job;

use super::hub_server::{Etag, HubServer, Manner, Repository};

use super::hub_manners::{ID, TOKEN, check, config, folder, mirror, real, repository};

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
fn a_server_that_never_ends_is_left() {
    for (head, text, parts) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: ?again\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "more than 10 times"],
        ),
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "302 without a Location"],
        ),
        (
            "HTTP/1.1 307 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
            "",
            ["config.json", "file:///etc/passwd, which is not a URL"],
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
        "has no model hidden/typo",
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

#[test]
fn a_mirrors_file_is_checked_against_the_listing() {
    let lists = Manner {
        blobs: true,
        chunked: true,
        ..mirror()
    };
    let file = "model.safetensors";
    for file in [file, "config.json"] {
        let wrong = Repository {
            wrong: Some(file.into()),
            ..repository(lists.clone())
        };
        refused(wrong, &[file, "has the checksum", "run again"]);
    }
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
