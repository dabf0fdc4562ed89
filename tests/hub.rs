//! Models by name, from a hub on loopback and from the cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::hub_server::{COMMIT, Gzip, HubServer, IN_PROXY, Manner, Place, Repository, sha256};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A repository with the files of a folder, and others that are not needed.
pub(crate) fn repository(folder: &str) -> Repository {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("golden.safetensors") {
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files.insert("pytorch_model.bin".into(), vec![1; 100]);
    files.insert("README.md".into(), b"read me".to_vec());
    files.insert("onnx/model.onnx".into(), vec![2; 100]);
    Repository {
        files,
        manner: as_the_real_hub(),
        ..Repository::default()
    }
}

/// Small files after a relative redirect, compressed for who asks for that; large files elsewhere.
fn as_the_real_hub() -> Manner {
    Manner {
        small: Place::Relative,
        large: Place::Elsewhere,
        gzip: Gzip::Asked,
        ..Manner::default()
    }
}

fn judge() -> Repository {
    repository("tests/data/judges/relevance")
}

/// `apc` with a cache of its own, and a hub.
pub(crate) fn apc(cache: &Path, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    command
        .args(arguments)
        .current_dir(ROOT)
        .env("HF_HOME", cache)
        .env("HF_ENDPOINT", endpoint);
    for name in [
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACE_TOKEN",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_SYMLINKS",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

/// Classifies a text with a model by name.
fn classify(cache: &Path, endpoint: &str, name: &str) -> Command {
    let texts = cache.join("texts.jsonl");
    fs::write(
        &texts,
        "{\"text\": \"Statement: Mira sings. Question: What do you do?\"}\n",
    )
    .unwrap();
    let texts = texts.to_str().unwrap().to_string();
    let arguments = [
        "classify", "--model", name, "--texts", &texts, "--format", "json",
    ];
    apc(cache, endpoint, &arguments)
}

fn probabilities(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", told(output));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    result["probabilities"].clone()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must fail with one line that has all parts.
fn refused(mut command: Command, parts: &[&str]) {
    let output = command.output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let errors: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{told}");
    for part in parts {
        assert!(errors[0].contains(part), "{part}: {told}");
    }
}

fn snapshot(cache: &Path, id: &str) -> PathBuf {
    let folder = format!("models--{}", id.replace('/', "--"));
    cache
        .join("hub")
        .join(folder)
        .join("snapshots")
        .join(COMMIT)
}

#[test]
fn a_model_is_downloaded_once_without_what_is_not_needed_and_then_used_offline() {
    let server = HubServer::new(&[("acme/judge", judge())]);
    let cache = tempfile::tempdir().unwrap();
    let here = classify(
        cache.path(),
        "http://127.0.0.1:9",
        "tests/data/judges/relevance",
    )
    .output()
    .unwrap();
    let first = classify(cache.path(), &server.address, "acme/judge")
        .output()
        .unwrap();
    assert_eq!(probabilities(&first), probabilities(&here));
    let folder = snapshot(cache.path(), "acme/judge");
    assert!(
        told(&first).contains(folder.to_str().unwrap()),
        "{}",
        told(&first)
    );
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "config.json",
            "judge.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    let branch = fs::read_to_string(folder.join("../../refs/main")).unwrap();
    assert_eq!(branch, COMMIT);

    let requests = server.log().len();
    let again = classify(cache.path(), &server.address, "acme/judge")
        .output()
        .unwrap();
    assert_eq!(probabilities(&again), probabilities(&here));
    assert_eq!(
        server.log().len(),
        requests,
        "what is in the cache is not asked for"
    );
    for name in ["acme/judge", &format!("acme/judge@{COMMIT}")] {
        let mut offline = classify(cache.path(), "http://127.0.0.1:9", name);
        let offline = offline.env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert_eq!(probabilities(&offline), probabilities(&here));
    }
}

#[test]
fn shards_are_downloaded_by_their_index() {
    let server = HubServer::new(&[("acme/sharded", repository("tests/golden/gemma-mha"))]);
    let cache = tempfile::tempdir().unwrap();
    let output = cache.path().join("quantized");
    let arguments = [
        "quantize",
        "--model",
        "acme/sharded",
        "--output",
        output.to_str().unwrap(),
    ];
    let done = apc(cache.path(), &server.address, &arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert!(output.join("model.safetensors").is_file());
    let shards = fs::read_dir(snapshot(cache.path(), "acme/sharded")).unwrap();
    let shards = shards.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().ends_with(".safetensors")
    });
    assert!(shards.count() > 1);
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let cut = Repository {
        cuts: vec![100_000, 50_000],
        ..judge()
    };
    let server = HubServer::new(&[("acme/judge", cut)]);
    let cache = tempfile::tempdir().unwrap();
    let done = classify(cache.path(), &server.address, "acme/judge")
        .output()
        .unwrap();
    probabilities(&done);
    assert_eq!(
        server.downloads("model.safetensors")[..],
        [0, 0, 100_000, 100_000, 150_000, 150_000][..]
    );
}

#[test]
fn a_download_whose_program_is_killed_goes_on_where_it_was() {
    let slow = Repository {
        rate: Some(2_000_000),
        ..judge()
    };
    let server = HubServer::new(&[("acme/judge", slow)]);
    let cache = tempfile::tempdir().unwrap();
    let mut run = classify(cache.path(), &server.address, "acme/judge")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let blobs = snapshot(cache.path(), "acme/judge").join("../../blobs");
    let partly = || {
        fs::read_dir(&blobs).is_ok_and(|mut files| {
            files.any(|file| {
                let path = file.unwrap().path();
                path.extension().is_some_and(|ending| ending == "part")
                    && fs::metadata(path).is_ok_and(|part| part.len() > 300_000)
            })
        })
    };
    let start = Instant::now();
    while !partly() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let done = classify(cache.path(), &server.address, "acme/judge")
        .output()
        .unwrap();
    probabilities(&done);
    let last = *server.downloads("model.safetensors").last().unwrap();
    assert!(last > 300_000, "{last}");
}

#[test]
fn a_gated_model_names_the_page_and_is_had_with_a_token() {
    let gated = Repository {
        token: Some("hf_secret".into()),
        ..judge()
    };
    let server = HubServer::new(&[("acme/gated", gated)]);
    let cache = tempfile::tempdir().unwrap();
    let page = format!("{}/acme/gated", server.address);
    refused(
        classify(cache.path(), &server.address, "acme/gated"),
        &[&page, "HF_TOKEN"],
    );
    let mut other = classify(cache.path(), &server.address, "acme/gated");
    other.env("HF_TOKEN", "hf_other");
    refused(other, &[&page, "HF_TOKEN"]);
    let mut allowed = classify(cache.path(), &server.address, "acme/gated");
    let allowed = allowed.env("HF_TOKEN", "hf_secret").output().unwrap();
    probabilities(&allowed);
    assert!(!told(&allowed).contains("hf_secret"));
    let mut torn = classify(cache.path(), &server.address, "acme/gated@main2");
    let torn = torn.env("HF_TOKEN", "hf_secret\n").output().unwrap();
    assert_eq!(torn.status.code(), Some(2));
    assert!(
        told(&torn).contains("HF_TOKEN has a space or a line break"),
        "{}",
        told(&torn)
    );
}

#[test]
fn the_token_is_found_where_python_keeps_it_wherever_the_cache_is() {
    let gated = Repository {
        token: Some("hf_secret".into()),
        ..judge()
    };
    let server = HubServer::new(&[("acme/gated", gated)]);
    let home = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    let elsewhere = home.path().join("elsewhere");
    fs::write(&elsewhere, "hf_secret\n").unwrap();
    let run = |variables: &[(&str, &Path)]| {
        let mut command = classify(home.path(), &server.address, "acme/gated");
        // A cache of its own for each, so that each asks the hub.
        let cache = tempfile::tempdir_in(cache.path()).unwrap().keep();
        command
            .env("HF_HUB_CACHE", &cache)
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert_eq!(
            cache.join("models--acme--gated").exists(),
            output.status.success()
        );
        output
    };
    let token = Path::new("hf_secret");
    assert!(!run(&[]).status.success());
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN"] {
        probabilities(&run(&[(name, token)]));
    }
    probabilities(&run(&[("HF_TOKEN_PATH", &elsewhere)]));
    fs::write(&file, "hf_secret\n").unwrap();
    probabilities(&run(&[]));
    // A variable comes first.
    let other = Path::new("hf_other");
    assert!(!run(&[("HF_TOKEN", other)]).status.success());
    assert!(!home.path().join("hub").exists());
}

#[test]
fn a_proxy_of_the_environment_is_used_and_its_exceptions_are_not_sent_there() {
    let server = HubServer::new(&[("acme/judge", judge())]);
    let cache = tempfile::tempdir().unwrap();
    let mut command = classify(cache.path(), IN_PROXY, "acme/judge");
    command
        .env("HTTP_PROXY", &server.address)
        .env("NO_PROXY", "127.0.0.1");
    probabilities(&command.output().unwrap());
    let log = server.log();
    assert!(log.iter().any(|asked| asked.elsewhere) && log.iter().any(|asked| !asked.elsewhere));
}

#[test]
fn without_symbolic_links_files_lie_in_the_snapshot() {
    let server = HubServer::new(&[("acme/judge", judge())]);
    let cache = tempfile::tempdir().unwrap();
    for hub in [&server.address, "http://127.0.0.1:9"] {
        let mut command = classify(cache.path(), hub, "acme/judge");
        command.env("HF_HUB_DISABLE_SYMLINKS", "1");
        probabilities(&command.output().unwrap());
    }
    for entry in fs::read_dir(snapshot(cache.path(), "acme/judge")).unwrap() {
        assert!(!entry.unwrap().path().is_symlink());
    }
}

#[test]
fn what_cannot_be_had_is_told_with_what_to_do() {
    let mut bare = judge();
    bare.files.retain(|name, _| !name.contains("model"));
    let wrong = Repository {
        wrong: Some("model.safetensors".into()),
        ..judge()
    };
    let huge = Repository {
        size: Some(("model.safetensors".into(), 1 << 50)),
        ..judge()
    };
    let server = HubServer::new(&[
        ("acme/bare", bare),
        ("acme/wrong", wrong),
        ("acme/huge", huge),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let named = |name: &str| classify(cache.path(), &server.address, name);
    refused(
        named("acme/none"),
        &[
            "neither a folder acme/none",
            "acme/none at http",
            "check the name",
        ],
    );
    refused(named("acme/bare"), &["has no weights"]);
    refused(
        named("acme/wrong"),
        &["checksum", "model.safetensors", "run again"],
    );
    refused(named("acme/huge"), &["needs 1.0 PiB more", "HF_HOME"]);
    let mut offline = named("acme/none");
    offline.env("HF_HUB_OFFLINE", "1");
    refused(offline, &["HF_HUB_OFFLINE", "not in"]);
    refused(
        classify(cache.path(), "http://127.0.0.1:9", "acme/judge"),
        &["cannot download", "acme/judge"],
    );
    // What was wrong did not stay.
    refused(named("acme/wrong"), &["checksum"]);
}

#[test]
fn the_cache_of_the_python_library_is_used_as_it_is() {
    let cache = tempfile::tempdir().unwrap();
    let repository = cache.path().join("hub/models--acme--judge");
    let snapshot = repository.join("snapshots").join(COMMIT);
    for folder in ["blobs", "refs", ".no_exist"] {
        fs::create_dir_all(repository.join(folder)).unwrap();
    }
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let bytes = fs::read(
            Path::new(ROOT)
                .join("tests/data/judges/relevance")
                .join(name),
        )
        .unwrap();
        let blob = sha256(&bytes);
        fs::write(repository.join("blobs").join(&blob), bytes).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(Path::new("../../blobs").join(&blob), snapshot.join(name))
            .unwrap();
    }
    let done = classify(cache.path(), "http://127.0.0.1:9", "acme/judge")
        .output()
        .unwrap();
    probabilities(&done);
}

#[test]
fn a_published_judge_is_asked_as_its_authors_say() {
    let mut published = judge();
    published.files.remove("judge.json");
    let id = "KomeijiForce/deberta-v3-large-relevance-12character";
    let server = HubServer::new(&[(id, published)]);
    let cache = tempfile::tempdir().unwrap();
    let score = |more: &[&str]| {
        let arguments = [
            "score",
            "--character",
            "Alice",
            "--query",
            "Hi?",
            "--response",
            "Ho.",
            "--relevance",
            id,
        ];
        let mut command = apc(
            cache.path(),
            &server.address,
            &[&arguments[..], more].concat(),
        );
        command.env("APC_PROMPTS_URL", &server.address);
        command
    };
    let file = "/prompt.py";
    refused(score(&[]), &[file, "cannot download", "--judge-templates"]);
    let mut offline = score(&[]);
    offline.env("HF_HUB_OFFLINE", "1");
    refused(
        offline,
        &[file, "HF_HUB_OFFLINE is set", "--judge-templates"],
    );

    let templates = cache.path().join("templates.json");
    fs::write(
        &templates,
        r#"{"relevance": "S: {statement}\n    \nQ: {query}", "nli": "{statement} R: {response}"}"#,
    )
    .unwrap();
    let done = score(&[
        "--judge-templates",
        templates.to_str().unwrap(),
        "--verbose",
    ])
    .output()
    .unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).contains("\n    \nQ: Hi?\n"), "{}", told(&done));
}
