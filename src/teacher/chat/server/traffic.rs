//! Sends requests to a chat server, counts them and retries.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Response, Url, redirect};
use serde_json::Value;

use super::address::Address;
use super::answer::{self, Body, Said};
use super::gate::Gate;
use super::refusal::ServerError;
use crate::progress::Job;
use crate::teacher::chat::plain::quoted;

/// Failures of one request, one after another, that end the run.
pub(super) const MOST_FAILURES: usize = 8;
/// How often one request is put off by a server that is busy, before the run ends.
const MOST_WAITS: usize = 40;
/// How often the answer to one request does not come in time, before the run ends.
const MOST_TIMEOUTS: usize = 3;
/// The longest pause that a server may ask for.
const MOST_PAUSE: Duration = Duration::from_secs(600);
/// A pause that is told of.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of an answer, and of an error, at most.
const MOST_ANSWER: usize = 64 << 20;
const MOST_ERROR: usize = 64 << 10;

/// Sends requests, again where that may help, and counts them.
pub(super) struct Traffic {
    pub(super) address: Address,
    pub(super) http: reqwest::Client,
    pub(super) job: Job,
    pub(super) timeout: Duration,
    pub(super) max_requests: Option<u64>,
    pub(super) gate: Gate,
    pub(super) sent: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) completion_tokens: AtomicU64,
    /// Whether the server has ever said anything; one that has not is not there.
    pub(super) reached: AtomicBool,
    /// Until when the pause that was told of last goes on.
    pub(super) paused: Mutex<Option<Instant>>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server's words.
    Said(ServerError),
    /// The connection.
    Transport(reqwest::Error),
    /// A sentence for the user.
    Told(String),
}

/// How one attempt ended.
enum Attempt {
    Answered(Said),
    /// The server is busy, and may have said for how long.
    Busy(Option<Duration>, Failure),
    /// It may work another time.
    Failed(Option<Duration>, Failure),
    /// It did not answer in time; the request is cancelled.
    TimedOut,
    /// It will not work.
    Refused(Failure),
}

/// A request whose answer is awaited; dropped before that it counts as abandoned.
struct Awaited<'a>(&'a AtomicU64, bool);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Follows a redirect within the server; another host or port does not get the page's text.
pub(super) fn redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let origin = |url: &Url| {
            let host = url.host_str().map(str::to_string);
            (url.scheme().to_string(), host, url.port_or_known_default())
        };
        let stays = attempt
            .previous()
            .first()
            .is_some_and(|first| origin(first) == origin(attempt.url()));
        // The others would turn the question into one without a body.
        let keeps = matches!(attempt.status().as_u16(), 307 | 308);
        if stays && keeps && attempt.previous().len() < 5 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

impl Traffic {
    /// Sends a request until it is answered, refused, or has failed so many times; a server's error that `teaches` how to
    /// ask otherwise is a refusal.
    pub(super) async fn send(
        &self,
        body: &Value,
        most_failures: usize,
        teaches: &(dyn Fn(&ServerError) -> bool + Sync),
    ) -> Result<Said, Failure> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(30))
            .with_jitter()
            .without_max_times()
            .build();
        let (mut failures, mut waits, mut timeouts) = (0, 0, 0);
        loop {
            let (wanted, failure) = match self.attempt(body).await {
                Attempt::Answered(said) => {
                    self.gate.answered();
                    return Ok(said);
                }
                Attempt::Refused(failure) => return Err(failure),
                Attempt::Busy(wanted, failure) => {
                    waits += 1;
                    (wanted, failure)
                }
                Attempt::Failed(_, Failure::Said(error))
                    if matches!(error.status, 500 | 501) && teaches(&error) =>
                {
                    return Err(Failure::Said(error));
                }
                Attempt::Failed(wanted, failure) => {
                    failures += 1;
                    (wanted, failure)
                }
                Attempt::TimedOut => {
                    timeouts += 1;
                    self.narrow();
                    (None, Failure::Told(self.silence()))
                }
            };
            if failures >= most_failures || waits >= MOST_WAITS || timeouts >= MOST_TIMEOUTS {
                return Err(failure);
            }
            let pause = pauses
                .next()
                .unwrap_or_default()
                .max(wanted.unwrap_or_default());
            if pause > MOST_PAUSE {
                return Err(Failure::Told(format!(
                    "{} asks to wait {} before the next request; run again then: what was answered is kept",
                    self.address.shown,
                    span(pause)
                )));
            }
            self.tell_pause(pause);
            self.retried.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends fewer requests at once to a server that did not answer in time.
    fn narrow(&self) {
        if let Some(left) = self.gate.narrow() {
            let requests = if left == 1 { "request" } else { "requests" };
            self.job.progress.note(&format!(
                "{} did not answer within {}; it gets {left} {requests} at once now",
                self.address.shown,
                span(self.timeout)
            ));
        }
    }

    fn silence(&self) -> String {
        format!(
            "{} did not answer within {}, {MOST_TIMEOUTS} times; raise `timeout`, lower `concurrency`, or use a faster \
             model: what was answered is kept",
            self.address.shown,
            span(self.timeout)
        )
    }

    /// Tells of a long pause once, however many requests it holds up.
    fn tell_pause(&self, pause: Duration) {
        let Ok(mut paused) = self.paused.lock() else {
            return;
        };
        let is_told = paused.is_some_and(|until| until > Instant::now());
        if pause >= LONG_PAUSE && !is_told {
            *paused = Instant::now().checked_add(pause);
            let shown = &self.address.shown;
            self.job
                .progress
                .note(&format!("retrying {shown} in {}", span(pause)));
        }
    }

    async fn attempt(&self, body: &Value) -> Attempt {
        let _pass = self.gate.pass().await;
        let count = |sent| {
            self.max_requests
                .is_none_or(|most| sent < most)
                .then_some(sent + 1)
        };
        let counted = self
            .sent
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        if let Err(sent) = counted {
            return Attempt::Refused(Failure::Told(format!(
                "{sent} requests were sent, which is `max_requests`; raise it and run again: what was answered is kept"
            )));
        }
        let mut request = self
            .http
            .post(self.address.chat.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .body(body.to_string());
        if let Some(bearer) = &self.address.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let mut awaited = Awaited(&self.abandoned, false);
        let attempt = match request.send().await {
            Ok(response) => {
                self.reached.store(true, Ordering::SeqCst);
                self.read(response).await
            }
            Err(error) => self.failed(error),
        };
        awaited.1 = !matches!(attempt, Attempt::TimedOut);
        attempt
    }

    fn failed(&self, error: reqwest::Error) -> Attempt {
        let is_unreached = error.is_connect() && !self.reached.load(Ordering::SeqCst);
        if error.is_timeout() && !error.is_connect() {
            Attempt::TimedOut
        } else if error.is_builder() || is_unreached {
            Attempt::Refused(Failure::Transport(error.without_url()))
        } else {
            Attempt::Failed(None, Failure::Transport(error.without_url()))
        }
    }

    async fn read(&self, response: Response) -> Attempt {
        let (status, wait) = (response.status(), retry_after(response.headers()));
        if status.is_redirection() {
            return Attempt::Refused(Failure::Told(self.moved(&response)));
        }
        let limit = if status.is_success() {
            MOST_ANSWER
        } else {
            MOST_ERROR
        };
        let (body, is_whole) = match read_at_most(response, limit).await {
            Ok(read) => read,
            Err(error) => return self.failed(error),
        };
        if !status.is_success() {
            return self.judged(ServerError::read(status.as_u16(), &body), wait);
        }
        if !is_whole {
            return Attempt::Refused(Failure::Told(format!(
                "{} answers with more than {} MB, which is no chat completion; check `api_base`",
                self.address.shown,
                MOST_ANSWER >> 20
            )));
        }
        match answer::read(&body) {
            Body::Answer(said) => Attempt::Answered(said),
            Body::Error(error) => self.judged(error, wait),
            Body::Other => {
                let begin = &body[..body.len().min(400)];
                let begin = quoted(&String::from_utf8_lossy(begin), 100);
                let begin = if begin.is_empty() {
                    "nothing".into()
                } else {
                    begin
                };
                Attempt::Refused(Failure::Told(format!(
                    "{} did not return a chat completion: {begin}; check `api_base`, which ends in /v1 for most servers",
                    self.address.shown
                )))
            }
        }
    }

    /// Decides whether what a server said may be otherwise another time.
    fn judged(&self, error: ServerError, wait: Option<Duration>) -> Attempt {
        let (status, is_quota) = (error.status, error.is_quota());
        let failure = Failure::Said(error);
        match status {
            _ if is_quota => Attempt::Refused(failure),
            429 => Attempt::Busy(wait, failure),
            408 | 409 | 425 | 500.. => Attempt::Failed(wait, failure),
            _ => Attempt::Refused(failure),
        }
    }

    /// Says where a server redirects to, without what may be secret there.
    fn moved(&self, response: &Response) -> String {
        let shown = &self.address.shown;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok());
        let target = location.and_then(|place| response.url().join(place).ok());
        let Some(mut target) = target.filter(Url::has_host) else {
            return format!("{shown} redirects without a Location; check `api_base`");
        };
        target.set_query(None);
        target.set_fragment(None);
        let _ = target.set_username("").and(target.set_password(None)); // one with a host has places for both
        let target = quoted(target.as_str().trim_end_matches("/chat/completions"), 200);
        format!(
            "{shown} redirects to {target}; redirects to other hosts are not followed, to protect the page's text and the key: \
             set `api_base` to that URL if you trust it"
        )
    }
}

/// Reads a body up to a limit; returns whether that was all of it.
async fn read_at_most(
    mut response: Response,
    limit: usize,
) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let encoding = response.headers().get(CONTENT_ENCODING);
    let is_gzip =
        encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    // Some servers compress whatever they were asked for.
    if is_gzip {
        let mut plain = Vec::new();
        let reader = flate2::read::MultiGzDecoder::new(&body[..]);
        // What is damaged is told by what comes out of it.
        let read = reader.take(limit as u64 + 1).read_to_end(&mut plain);
        let is_whole = read.is_ok() && plain.len() <= limit;
        return Ok((plain, is_whole));
    }
    Ok((body, true))
}

/// How long a server asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    /// More than a lifetime, and still a time.
    const LONGEST: f64 = 1e10;
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds.min(LONGEST)).ok(),
        Err(_) => {
            let then = httpdate::parse_http_date(value).ok()?;
            let wait = then.duration_since(std::time::SystemTime::now());
            Some(wait.unwrap_or_default())
        }
    }
}

/// A span of time in words.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..120.0 => format!("{} s", (seconds * 10.0).round() / 10.0),
        ..7200.0 => format!("{:.0} minutes", seconds / 60.0),
        ..172_800.0 => format!("{:.0} hours", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}
