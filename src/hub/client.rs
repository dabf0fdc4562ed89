//! Requests to the hub, and to the servers that it sends us to.

use std::io::Read;
use std::time::Duration;

use reqwest::blocking::{Client as Http, Response};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Certificate, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::failure::{Failure, printable, reason};
use crate::progress::Job;
use crate::{Error, Result};

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How often one request may be sent elsewhere.
const REDIRECTS: usize = 10;
/// How often a request is sent again that failed for a reason that may pass.
const RETRIES: u32 = 3;
/// How much of an answer's text is read, where it is no file.
const LONGEST_ERROR: u64 = 4 << 10;
const LONGEST_JSON: u64 = 64 << 20;

/// Asks the hub. The token goes to the hub's own address only: same scheme, host and port.
pub(super) struct Client {
    http: Http,
    endpoint: Url,
    token: Option<HeaderValue>,
    pub(super) job: Job,
}

/// An answer that is no error, after all redirects.
pub(super) struct Answer {
    pub(super) response: Response,
    /// The headers of the answers that led to it.
    pub(super) hops: Vec<HeaderMap>,
}

impl Client {
    /// Makes a client for the hub at `endpoint`, through the proxies of the environment. `setting` is where the address stands.
    ///
    /// # Errors
    ///
    /// An endpoint that is no address.
    pub(super) fn new(
        endpoint: &str,
        setting: &str,
        token: Option<&SecretString>,
        job: &Job,
    ) -> Result<Self> {
        let address = Url::parse(endpoint).ok().filter(is_web);
        let address = address.filter(|url| url.query().is_none() && url.fragment().is_none());
        // The text may hold a password.
        let endpoint = address.ok_or_else(|| {
            Error::Usage(format!(
                "{setting} is no address; expected a URL such as https://huggingface.co"
            ))
        })?;
        let token = match token {
            Some(token) => {
                let bearer = format!("Bearer {}", token.expose_secret());
                let mut header = HeaderValue::from_str(&bearer)
                    .map_err(|_| Error::Usage("the token has characters that an HTTP header cannot hold; set HF_TOKEN to the token alone".into()))?;
                header.set_sensitive(true);
                Some(header)
            }
            None => None,
        };
        // A second call finds the provider installed, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Beside the system's certificates, which a bare container lacks.
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let http = Http::builder()
            .user_agent(concat!("apc/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .tls_certs_merge(roots.filter_map(|root| Certificate::from_der(root).ok()))
            .connect_timeout(Duration::from_secs(20))
            .timeout(SILENCE)
            .build()
            .map_err(|error| {
                Error::Hub(format!("no HTTP client can be set up: {}", reason(error)))
            })?;
        Ok(Self {
            http,
            endpoint,
            token,
            job: job.clone(),
        })
    }

    /// The hub's address, as it is shown.
    pub(super) fn shown(&self) -> String {
        let mut url = self.endpoint.clone();
        // Addresses of the web can be without either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string().trim_end_matches('/').to_string()
    }

    /// An address of the hub; each part of the path is escaped.
    pub(super) fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Asks for JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Failure> {
        self.persist(|| {
            let answer = self.get(url, None, |_| false)?;
            let mut bytes = Vec::new();
            decoded(answer.response)?
                .take(LONGEST_JSON)
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Broken(reason(error)))?;
            serde_json::from_slice(&bytes).map_err(|error| {
                let reason = format!(
                    "{} did not return the JSON that a hub returns: {error}",
                    place(url)
                );
                Failure::Unusable(printable(&reason))
            })
        })
    }

    /// Asks for some bytes of a file, or for all; goes where the hub sends it, or only as far as an answer with which
    /// `is_enough` is content.
    pub(super) fn get(
        &self,
        url: &Url,
        range: Option<&str>,
        is_enough: impl Fn(&HeaderMap) -> bool,
    ) -> Result<Answer, Failure> {
        let (mut url, mut hops) = (url.clone(), Vec::new());
        loop {
            self.job.check()?;
            // A file as it is: ranges and sizes of a compressed one are others.
            let mut request = self
                .http
                .get(url.clone())
                .header(ACCEPT_ENCODING, "identity");
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            let at_hub = url.origin() == self.endpoint.origin();
            if let Some(token) = self
                .token
                .as_ref()
                .filter(|_| at_hub && url.username().is_empty())
            {
                request = request.header(AUTHORIZATION, token.clone());
            }
            let response = request.send().map_err(|error| connection(&url, error))?;
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                // A range of an empty file, or one behind the end.
                if status.as_u16() == 416 && range.is_some() {
                    return Ok(Answer { response, hops });
                }
                return Err(refusal(response, &url, at_hub));
            }
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
                || is_enough(response.headers())
            {
                return Ok(Answer { response, hops });
            }
            url = target(&url, &response).map_err(Failure::Unusable)?;
            hops.push(response.headers().clone());
            if hops.len() > REDIRECTS {
                let reason = format!("{} redirects more than {REDIRECTS} times", place(&url));
                return Err(Failure::Unusable(reason));
            }
        }
    }

    /// Retries `attempt` after transient failures; an unreachable server fails at once.
    pub(super) fn persist<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut n_failed = 0;
        loop {
            let failure = match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let is_reached = !matches!(failure, Failure::Unreachable(_));
            match failure.wait(n_failed) {
                Some(wait) if n_failed < RETRIES && is_reached => self.pause(wait)?,
                _ => return Err(failure),
            }
            n_failed += 1;
        }
    }

    /// Waits, but not when someone asks the job to stop.
    pub(super) fn pause(&self, wait: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        if wait > Duration::from_secs(5) {
            let line = format!(
                "the hub is busy or unreachable; retrying in {} s",
                wait.as_secs()
            );
            self.job.progress.note(&line);
        }
        let mut left = wait;
        while !left.is_zero() {
            self.job.check()?;
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
        self.job.check()
    }
}

/// Whether an answer is compressed.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
}

/// The bytes of an answer, also where a server compressed them though it was asked not to.
pub(super) fn decoded(response: Response) -> Result<Box<dyn Read>, Failure> {
    let encoding = response.headers().get(CONTENT_ENCODING);
    let encoding =
        encoding.map(|encoding| String::from_utf8_lossy(encoding.as_bytes()).to_lowercase());
    match encoding.as_deref().unwrap_or("identity") {
        "identity" => Ok(Box::new(response)),
        "gzip" | "x-gzip" => Ok(Box::new(flate2::read::MultiGzDecoder::new(response))),
        other => Err(Failure::Unusable(format!(
            "the response has Content-Encoding {}, which is not supported",
            printable(other)
        ))),
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// A server, without what may be secret in an address.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Where a redirect leads.
fn target(from: &Url, response: &Response) -> Result<Url, String> {
    let (here, status) = (place(from), response.status().as_u16());
    let location = response.headers().get(LOCATION);
    let location = location.ok_or_else(|| format!("{here} answers {status} without a Location"))?;
    let text = String::from_utf8_lossy(location.as_bytes());
    let target = from.join(&text).ok().filter(is_web);
    target.ok_or_else(|| {
        let text = printable(text.split(['?', '#']).next().unwrap_or_default());
        format!("{here} answers {status} with the Location {text}, which is not a URL")
    })
}

/// A request that got no answer.
fn connection(url: &Url, error: reqwest::Error) -> Failure {
    let is_final = error.is_connect() || error.is_builder();
    let reason = format!(
        "{} cannot be reached: {}",
        place(url),
        reason(error.without_url())
    );
    if is_final {
        Failure::Unreachable(reason)
    } else {
        Failure::Broken(reason)
    }
}

/// What a server says of an error.
fn refusal(response: Response, url: &Url, at_hub: bool) -> Failure {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let status = response.status().as_u16();
    let code = header("x-error-code").unwrap_or_default();
    let wait = header(RETRY_AFTER.as_str()).and_then(|value| value.trim().parse().ok());
    let wait = wait.map(Duration::from_secs);
    let said = header("x-error-message").unwrap_or_else(|| {
        let mut body = Vec::new();
        // Half an explanation is better than none.
        let _ = response.take(LONGEST_ERROR).read_to_end(&mut body);
        let parsed: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let error = parsed
            .as_ref()
            .and_then(|parsed| parsed.get("error")?.as_str());
        match error {
            Some(error) => error.to_string(),
            None => String::from_utf8_lossy(&body).into_owned(),
        }
    });
    Failure::Status {
        status,
        at_hub,
        server: place(url),
        code,
        said: printable(&said),
        wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(endpoint: &str) -> Client {
        Client::new(endpoint, "HF_ENDPOINT", None, &Job::default()).unwrap()
    }

    #[test]
    fn parts_of_an_address_are_escaped() {
        let hub = client("https://hub.example:8443/mirror/");
        let url = hub.url(["acme", "judge", "resolve", "refs/pr/1", "a b#c?d%e.json"]);
        assert_eq!(
            url.as_str(),
            "https://hub.example:8443/mirror/acme/judge/resolve/refs%2Fpr%2F1/a%20b%23c%3Fd%25e.json"
        );
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        assert_eq!(
            client("http://me:secret@hub.example").shown(),
            "http://hub.example"
        );
        for endpoint in [
            "hub.example",
            "ftp://me:secret@hub.example",
            "http://a?secret",
            "",
        ] {
            let error = Client::new(endpoint, "HF_ENDPOINT", None, &Job::default())
                .err()
                .unwrap();
            let told = error.to_string();
            assert!(
                told.contains("HF_ENDPOINT") && !told.contains("secret"),
                "{told}"
            );
        }
    }
}
