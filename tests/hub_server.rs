//! A hub on loopback with the layout of the real one, and a second server that it sends people to.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use apc::files;
use serde_json::json;
use sha1::{Digest, Sha1};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The address of a hub that only the server as a proxy knows.
pub(crate) const IN_PROXY: &str = "http://hub.invalid";

/// A repository, and what is wrong with it.
#[derive(Clone, Default)]
pub(crate) struct Repository {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Only who has this token may read.
    pub(crate) token: Option<String>,
    /// The first answers with a large file end after so many bytes.
    pub(crate) cuts: Vec<usize>,
    /// Small files are cut like large ones.
    pub(crate) cuts_all: bool,
    /// The name of a file whose checksum is told wrong.
    pub(crate) wrong: Option<String>,
    /// The name of a file whose size is told as this.
    pub(crate) size: Option<(String, u64)>,
    /// Bytes a second.
    pub(crate) rate: Option<usize>,
    pub(crate) manner: Manner,
    /// The commit that the listing tells.
    pub(crate) commit: Option<String>,
    /// Large files cannot be had from the second server.
    pub(crate) expired: bool,
    /// The first requests for files are answered with this head and nothing else.
    pub(crate) busy: (usize, &'static str),
    /// Files are answered with this head, and this text without end.
    pub(crate) endless: Option<(&'static str, &'static str)>,
}

impl Repository {
    fn checksum_of(&self, name: &str, bytes: &[u8]) -> String {
        match self.wrong.as_deref() == Some(name) {
            true if !is_large(name) => git_hash(b"other"),
            true => sha256(b"other"),
            false if is_large(name) => sha256(bytes),
            false => git_hash(bytes),
        }
    }

    fn size_of(&self, name: &str, bytes: &[u8]) -> u64 {
        match &self.size {
            Some((other, size)) if other == name => *size,
            _ => bytes.len() as u64,
        }
    }
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// How a hub, or a mirror of one, answers.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// Where small files are; large ones are at the second server if they are anywhere else.
    pub(crate) small: Place,
    pub(crate) large: Place,
    pub(crate) gzip: Gzip,
    pub(crate) etag: Etag,
    /// No `X-Repo-Commit`.
    pub(crate) no_commit: bool,
    /// Ranges are ignored.
    pub(crate) no_ranges: bool,
    /// No `Content-Length`: the body ends with the connection or its last chunk.
    pub(crate) chunked: bool,
    /// The listing tells sizes and checksums when it is asked for them.
    pub(crate) blobs: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was asked for.
    #[default]
    Here,
    /// At another path, by a relative redirect.
    Relative,
    /// At the second server.
    Elsewhere,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Gzip {
    #[default]
    Never,
    /// Whoever says that it understands gzip gets it, without a range.
    Asked,
    /// Everybody gets it.
    Always,
}

#[derive(Clone, Default)]
pub(crate) enum Etag {
    #[default]
    Strong,
    Weak,
    Missing,
    Other(String),
}

/// A request for a file.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// Where in the file it begins.
    pub(crate) start: usize,
    pub(crate) token: Option<String>,
    /// Whether it came to the second server.
    pub(crate) elsewhere: bool,
    /// Whether it asks for one byte, to know the size.
    is_probe: bool,
}

struct State {
    repositories: HashMap<String, Repository>,
    cuts: Mutex<HashMap<String, usize>>,
    log: Mutex<Vec<Asked>>,
    /// The addresses of both servers.
    addresses: [String; 2],
}

pub(crate) struct HubServer {
    state: Arc<State>,
    pub(crate) address: String,
}

impl HubServer {
    pub(crate) fn new(repositories: &[(&str, Repository)]) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [0, 1].map(|i| format!("http://{}", listeners[i].local_addr().unwrap()));
        let state = Arc::new(State {
            repositories: repositories
                .iter()
                .map(|(name, repository)| ((*name).to_string(), repository.clone()))
                .collect(),
            cuts: Mutex::default(),
            log: Mutex::default(),
            addresses: addresses.clone(),
        });
        for (listener, elsewhere) in listeners.into_iter().zip([false, true]) {
            let shared = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = shared.clone();
                    std::thread::spawn(move || connection(&state, stream, elsewhere));
                }
            });
        }
        let [address, _] = addresses;
        Self { state, address }
    }

    /// The downloads of a file: where each began.
    pub(crate) fn downloads(&self, file: &str) -> Vec<usize> {
        let log = self.log();
        let of_file = log
            .iter()
            .filter(|asked| asked.path.ends_with(file) && !asked.is_probe);
        of_file.map(|asked| asked.start).collect()
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.state.log.lock().unwrap().clone()
    }
}

/// The hash by which git names a file.
pub(crate) fn git_hash(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    files::hex(&hash.finalize())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    files::checksum_of(bytes)
}

pub(crate) fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a request says.
#[derive(Default)]
struct Request {
    path: String,
    range: Option<(usize, Option<usize>)>,
    token: Option<String>,
    gzip: bool,
    /// Whether only the head of the answer is wanted, as Python's library asks first.
    head: bool,
}

fn connection(state: &State, mut stream: TcpStream, elsewhere: bool) {
    // A head and its body are two writes; the second must not wait for an answer to the first.
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = Request::default();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_string();
            if line.is_empty() {
                break;
            }
            request.head |= line.starts_with("HEAD ");
            let rest = line.strip_prefix("GET ").or(line.strip_prefix("HEAD "));
            if let Some(rest) = rest {
                let path = rest.split(' ').next().unwrap();
                // A proxy is asked with the whole address.
                let path = path.strip_prefix(IN_PROXY).unwrap_or(path);
                request.path = path.to_string();
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("range: bytes=") {
                let (start, end) = value.split_once('-').unwrap();
                request.range = Some((start.parse().unwrap(), end.parse().ok()));
            }
            request.gzip |= lower.starts_with("accept-encoding:") && lower.contains("gzip");
            if lower.starts_with("authorization: bearer ") {
                request.token = Some(line["authorization: bearer ".len()..].to_string());
            }
        }
        if !answer(state, &mut stream, &request, elsewhere) {
            return;
        }
    }
}

/// Writes an answer with a body; false if the connection is closed.
fn send(stream: &mut TcpStream, status: &str, headers: &[(&str, String)], body: &[u8]) -> bool {
    let head = head(status, headers, Some(body.len()));
    stream.write_all(head.as_bytes()).is_ok() && stream.write_all(body).is_ok()
}

fn head(status: &str, headers: &[(&str, String)], length: Option<usize>) -> String {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    match length {
        Some(length) => head += &format!("Content-Length: {length}\r\n"),
        None => head += "Transfer-Encoding: chunked\r\n",
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// Answers a request; false if the connection is closed.
fn answer(state: &State, stream: &mut TcpStream, request: &Request, elsewhere: bool) -> bool {
    let range = request.range;
    let start = range.map_or(0, |(start, _)| start);
    let is_probe = range == Some((0, Some(0)));
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    state.log.lock().unwrap().push(Asked {
        path: path.to_string(),
        start,
        token: request.token.clone(),
        elsewhere,
        is_probe,
    });
    let fail =
        |stream: &mut TcpStream, status: &str| send(stream, status, &[], b"{\"error\": \"no\"}");
    // Files are at /owner/name/resolve/revision/file, and after redirects below /there.
    let there = path.starts_with("/there/");
    let path = path.strip_prefix("/there").unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let listed = parts.first() == Some(&"api");
    let id = match listed {
        true => format!("{}/{}", parts[2], parts[3]),
        false if parts.len() > 4 => format!("{}/{}", parts[0], parts[1]),
        false => return fail(stream, "404 Not Found"),
    };
    let Some(repository) = state.repositories.get(&id) else {
        // The real hub does not say to strangers what there is.
        return match request.token {
            None if id.starts_with("hidden/") => fail(stream, "401 Unauthorized"),
            _ => fail(stream, "404 Not Found"),
        };
    };
    if elsewhere && repository.expired {
        return fail(stream, "403 Forbidden");
    }
    if !elsewhere && repository.token.is_some() && repository.token != request.token {
        let status = match request.token {
            Some(_) => "403 Forbidden",
            None => "401 Unauthorized",
        };
        return fail(stream, status);
    }
    let manner = &repository.manner;
    if listed {
        let sibling = |(name, bytes): (&String, &Vec<u8>)| {
            let mut sibling = json!({"rfilename": name});
            if query.contains("blobs=true") && manner.blobs {
                sibling["size"] = repository.size_of(name, bytes).into();
                let sum = repository.checksum_of(name, bytes);
                match is_large(name) {
                    true => sibling["lfs"] = json!({"sha256": sum, "size": bytes.len()}),
                    false => sibling["blobId"] = sum.into(),
                }
            }
            sibling
        };
        let siblings: Vec<_> = repository.files.iter().map(sibling).collect();
        let commit = repository.commit.as_deref().unwrap_or(COMMIT);
        let body = json!({"sha": commit, "siblings": siblings}).to_string();
        return match manner.gzip {
            Gzip::Always => {
                let encoded = ("Content-Encoding", "gzip".into());
                send(stream, "200 OK", &[encoded], &zipped(body.as_bytes()))
            }
            _ => send(stream, "200 OK", &[], body.as_bytes()),
        };
    }
    let name = parts[4..].join("/");
    {
        let mut cuts = state.cuts.lock().unwrap();
        let served = cuts.entry(format!("{id} busy")).or_default();
        *served += 1;
        if *served <= repository.busy.0 {
            let head = format!("{}\r\nContent-Length: 0\r\n\r\n", repository.busy.1);
            return stream.write_all(head.as_bytes()).is_ok();
        }
    }
    if let Some((head, text)) = repository.endless {
        let mut sent = stream.write_all(head.as_bytes()).is_ok();
        while sent && !text.is_empty() {
            sent = stream.write_all(text.repeat(10_000).as_bytes()).is_ok();
        }
        return sent;
    }
    let Some(bytes) = repository.files.get(&name) else {
        return fail(stream, "404 Not Found");
    };
    let is_large = is_large(&name);
    let checksum = repository.checksum_of(&name, bytes);
    let etag = match &manner.etag {
        Etag::Strong => Some(format!("\"{checksum}\"")),
        Etag::Weak => Some(format!("W/\"{checksum}\"")),
        Etag::Missing => None,
        Etag::Other(tag) => Some(tag.clone()),
    };
    let size = repository.size_of(&name, bytes);
    let mut headers = Vec::new();
    if !manner.no_commit && !elsewhere {
        headers.push(("X-Repo-Commit", COMMIT.to_string()));
    }
    let place = if is_large { manner.large } else { manner.small };
    if place != Place::Here && !there {
        let target = match place {
            Place::Elsewhere => format!("{}/there{path}?signature=secret", state.addresses[1]),
            _ => format!("/there{path}"),
        };
        headers.push(("Location", target));
        if is_large {
            headers.extend(etag.map(|etag| ("X-Linked-Etag", etag)));
        }
        let status = if is_large {
            "302 Found"
        } else {
            "307 Temporary Redirect"
        };
        return send(stream, status, &headers, b"");
    }
    headers.extend(etag.map(|etag| ("ETag", etag)));
    let gzip = match manner.gzip {
        Gzip::Never => false,
        Gzip::Asked => request.gzip,
        Gzip::Always => true,
    };
    let mut body = bytes.clone();
    let mut status = "200 OK";
    if gzip {
        body = zipped(bytes);
        headers.push(("Content-Encoding", "gzip".into()));
    } else if let Some((start, end)) = range.filter(|_| !manner.no_ranges) {
        if start >= bytes.len() {
            let range = ("Content-Range", format!("bytes */{size}"));
            return send(stream, "416 Range Not Satisfiable", &[range], b"");
        }
        let end = end.map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
        body = bytes[start..end].to_vec();
        headers.push(("Content-Range", format!("bytes {start}-{}/{size}", end - 1)));
        status = "206 Partial Content";
    }
    let chunked = manner.chunked;
    let head = head(status, &headers, (!chunked).then_some(body.len()));
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    if request.head {
        return true;
    }
    let mut cut = None;
    if (is_large || repository.cuts_all) && !is_probe {
        let mut cuts = state.cuts.lock().unwrap();
        let served = cuts.entry(format!("{id}/{name}")).or_default();
        cut = repository.cuts.get(*served).copied();
        *served += 1;
    }
    let whole = cut.map_or(body.len(), |cut| cut.min(body.len()));
    let step = repository
        .rate
        .map_or(whole.max(1), |rate| (rate / 20).max(1));
    for piece in body[..whole].chunks(step) {
        let sent = match chunked {
            true => write!(stream, "{:x}\r\n", piece.len())
                .and_then(|()| stream.write_all(piece))
                .and_then(|()| stream.write_all(b"\r\n")),
            false => stream.write_all(piece),
        };
        if sent.is_err() {
            return false;
        }
        if repository.rate.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    if chunked && whole == body.len() {
        return stream.write_all(b"0\r\n\r\n").is_ok();
    }
    whole == body.len()
}
