//! A server that runs while a test does, and what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with the embedded models that ends with its test.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// It goes when the server does.
    folder: Option<TempDir>,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The data of its events.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert!(
            self.headers.contains("text/event-stream"),
            "{}",
            self.headers
        );
        let data = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let data: Vec<&str> = data.collect();
        let (last, events) = data.split_last().unwrap();
        assert_eq!(*last, "[DONE]");
        events
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect()
    }
}

impl Served {
    /// A server of Alice, of whom nothing was trained.
    pub(crate) fn start(arguments: &[&str], key: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&["--character", "Alice"], arguments].concat();
        let mut served = Self::start_in(folder.path(), &arguments, key);
        served.folder = Some(folder);
        served
    }

    /// A server that is started in a folder.
    pub(crate) fn start_in(folder: &Path, arguments: &[&str], key: Option<&str>) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("apc"));
        command
            .args(["serve", "--port", "0"])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        match key {
            Some(key) => command.env("APC_API_KEY", key),
            None => command.env_remove("APC_API_KEY"),
        };
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_string();
        Self {
            child,
            address,
            folder: None,
        }
    }

    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let whole = String::from_utf8(bytes).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let (first, headers) = head.split_once("\r\n").unwrap();
        let mut parts = first.splitn(3, ' ').skip(1);
        let headers = headers.to_lowercase();
        let body = match headers.contains("transfer-encoding: chunked") {
            true => unchunked(body),
            false => body.to_string(),
        };
        Answer {
            status: parts.next().unwrap().parse().unwrap(),
            reason: parts.next().unwrap_or_default().to_string(),
            headers,
            body,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, "", body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.request("POST", path, headers, body)
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let len = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
        ))
    }

    /// A chat with Alice, with these settings.
    pub(crate) fn chat(&self, settings: Value) -> Answer {
        let mut body = json!({"model": "Alice", "messages": [{"role": "user", "content": "Where do you live?"}]});
        for (key, value) in settings.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.post("/v1/chat/completions", &body.to_string())
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).unwrap();
        whole.push_str(&rest[..len]);
        body = rest.get(len + 2..).unwrap_or("");
    }
    whole
}
