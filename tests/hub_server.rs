//! A hub on loopback with the layout of the real one.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository, and what is wrong with it.
#[derive(Clone, Default)]
pub(crate) struct Repository {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Only who has this token may read.
    pub(crate) token: Option<String>,
    /// The first answers end after so many bytes.
    pub(crate) cuts: Vec<usize>,
    /// The name of a file whose checksum is told wrong.
    pub(crate) wrong: Option<String>,
    /// The name of a file whose size is told as this.
    pub(crate) size: Option<(String, u64)>,
    /// Bytes a second.
    pub(crate) rate: Option<usize>,
}

/// A request: its path, and where in the file it begins.
pub(crate) type Asked = (String, usize);

struct State {
    repositories: HashMap<String, Repository>,
    cuts: Mutex<HashMap<String, usize>>,
    log: Mutex<Vec<Asked>>,
}

pub(crate) struct HubServer {
    state: Arc<State>,
    pub(crate) address: String,
}

impl HubServer {
    pub(crate) fn new(repositories: &[(&str, Repository)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            repositories: repositories
                .iter()
                .map(|(name, repository)| ((*name).to_string(), repository.clone()))
                .collect(),
            cuts: Mutex::default(),
            log: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || connection(&state, stream));
            }
        });
        Self { state, address }
    }

    /// The downloads of a file: where each began. What asks for one byte asks for the size.
    pub(crate) fn downloads(&self, file: &str) -> Vec<usize> {
        let log = self.state.log.lock().unwrap();
        let of_file = log.iter().filter(|(path, _)| path.ends_with(file));
        of_file.map(|(_, start)| *start).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.log.lock().unwrap().len()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn connection(state: &State, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut path, mut range, mut token) = (String::new(), None, None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_string();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("GET ") {
                path = rest.split(' ').next().unwrap().to_string();
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("range: bytes=") {
                let (start, end) = value.split_once('-').unwrap();
                range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().ok()));
            }
            if lower.starts_with("authorization: bearer ") {
                token = Some(line["authorization: bearer ".len()..].to_string());
            }
        }
        if !answer(state, &mut stream, &path, range, token) {
            return;
        }
    }
}

fn head(status: &str, headers: &[(&str, String)], length: usize) -> String {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// Answers a request; false if the connection is closed.
fn answer(
    state: &State,
    stream: &mut TcpStream,
    path: &str,
    range: Option<(usize, Option<usize>)>,
    token: Option<String>,
) -> bool {
    let start = range.map_or(0, |(start, _)| start);
    let is_probe = range == Some((0, Some(0)));
    if !is_probe {
        state.log.lock().unwrap().push((path.to_string(), start));
    }
    let mut fail = |status: &str| {
        let body = "{\"error\": \"no\"}";
        let head = head(status, &[], body.len());
        stream.write_all((head + body).as_bytes()).is_ok()
    };
    let is_cdn = path.starts_with("/cdn/");
    let path = path.strip_prefix("/cdn").unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let listed = parts.first() == Some(&"api");
    let id = match listed {
        true => format!("{}/{}", parts[2], parts[3]),
        false if parts.len() > 4 => format!("{}/{}", parts[0], parts[1]),
        false => return fail("404 Not Found"),
    };
    let Some(repository) = state.repositories.get(&id) else {
        return fail("404 Not Found");
    };
    if !is_cdn && repository.token.is_some() && repository.token != token {
        return fail(if token.is_some() {
            "403 Forbidden"
        } else {
            "401 Unauthorized"
        });
    }
    if listed {
        let siblings = repository
            .files
            .keys()
            .map(|name| json!({"rfilename": name}));
        let body = json!({"sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()}).to_string();
        let head = head("200 OK", &[], body.len());
        return stream.write_all((head + &body).as_bytes()).is_ok();
    }
    let name = parts[4..].join("/");
    let Some(bytes) = repository.files.get(&name) else {
        return fail("404 Not Found");
    };
    let wrong = repository.wrong.as_deref() == Some(&name);
    let etag = if wrong {
        sha256(b"other")
    } else {
        sha256(bytes)
    };
    let is_large = name.ends_with(".safetensors");
    let commit = ("X-Repo-Commit", COMMIT.to_string());
    if is_large && !is_cdn {
        // Large files are elsewhere.
        let headers = [
            commit,
            ("X-Linked-Etag", format!("\"{etag}\"")),
            (
                "Location",
                format!("http://{}/cdn{path}", stream.local_addr().unwrap()),
            ),
        ];
        let head = head("302 Found", &headers, 0);
        return stream.write_all(head.as_bytes()).is_ok();
    }
    // Small files have the hash of git, which is no SHA-256.
    let etag = if is_large {
        etag
    } else {
        etag[..40].to_string()
    };
    let size = match &repository.size {
        Some((large, size)) if *large == name => *size,
        _ => bytes.len() as u64,
    };
    let end = range
        .and_then(|(_, end)| end)
        .map_or(bytes.len(), |end| end + 1);
    let part = &bytes[start.min(bytes.len())..end.min(bytes.len())];
    let headers = [
        commit,
        ("ETag", format!("\"{etag}\"")),
        (
            "Content-Range",
            format!("bytes {start}-{}/{size}", end.max(1) - 1),
        ),
    ];
    let head = head("206 Partial Content", &headers, part.len());
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    let mut cut = None;
    if is_large && !is_probe {
        let mut cuts = state.cuts.lock().unwrap();
        let served = cuts.entry(id).or_default();
        cut = repository.cuts.get(*served).copied();
        *served += 1;
    }
    let whole = cut.map_or(part.len(), |cut| cut.min(part.len()));
    let step = repository
        .rate
        .map_or(whole.max(1), |rate| (rate / 20).max(1));
    for piece in part[..whole].chunks(step) {
        if stream.write_all(piece).is_err() {
            return false;
        }
        if repository.rate.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    whole == part.len()
}
