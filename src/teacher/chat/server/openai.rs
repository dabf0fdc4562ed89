//! A server that speaks OpenAI's chat API.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;

use super::address::Address;
use super::answer::Said;
use super::form::fewest_tokens;
use super::gate::Gate;
use super::learning::Learning;
use super::traffic::{Failure, Traffic, redirects};
use crate::progress::Job;
use crate::teacher::chat::model::{
    ChatModel, Completion, Question, Usage, estimated_tokens, recorded_name,
};
use crate::teacher::chat::plain::plain;
use crate::{Error, Result};

/// Requests at once, at most.
const MOST_AT_ONCE: usize = 1024;
/// The longest time that an answer may take.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The address, key and limits of a chat model's server.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The server, up to and with `/v1`; OpenAI's own if absent.
    pub api_base: Option<String>,
    /// The key, if the server needs one; a user in `api_base` is sent in its place.
    pub api_key: Option<SecretString>,
    /// Requests at once.
    pub concurrency: usize,
    /// How long a reply may take.
    pub timeout: Duration,
    /// Requests that may be sent, retries included.
    pub max_requests: Option<u64>,
    /// Tokens that may be used, those of prompts and replies together.
    pub max_tokens: Option<u64>,
}

impl Default for OpenAiConfig {
    /// OpenAI's own server, without limits.
    fn default() -> Self {
        Self {
            api_base: None,
            api_key: None,
            concurrency: 8,
            timeout: Duration::from_secs(120),
            max_requests: None,
            max_tokens: None,
        }
    }
}

impl OpenAiConfig {
    /// Returns a model's name in records: with a mark of its server, which does not tell the address.
    ///
    /// # Errors
    ///
    /// Fails if `api_base` is no address.
    pub fn recorded_name(&self, model: &str) -> Result<String> {
        let key = SecretString::from("any".to_string()); // asked of OpenAI's own only
        let address = Address::new(self.api_base.as_deref(), Some(&key), model)?;
        Ok(recorded_name(model, &address.origin()))
    }
}

/// A chat model reached over OpenAI's API.
pub struct OpenAi {
    model: String,
    server: Arc<Server>,
    learning: Learning,
}

/// A server, which all its models share with its limits.
pub(super) struct Server {
    config: OpenAiConfig,
    runtime: tokio::runtime::Runtime,
    pub(super) traffic: Traffic,
    /// Tokens used, and those that running requests may still use.
    reserved: Mutex<u64>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("model", &self.model)
            .field("base", &self.server.traffic.address.shown)
            .finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Makes a client, which sends nothing yet; `job` can stop it.
    ///
    /// # Errors
    ///
    /// Fails if the key cannot be sent in a header or is missing for OpenAI's own server, if the address is none, or if
    /// `concurrency` or `timeout` is 0 or beyond all use.
    pub fn new(model: &str, config: OpenAiConfig, job: &Job) -> Result<Self> {
        if !(1..=MOST_AT_ONCE).contains(&config.concurrency) {
            return Err(Error::setting(
                "concurrency",
                format!(
                    "is {}, but must lie between 1 and {MOST_AT_ONCE}",
                    config.concurrency
                ),
            ));
        }
        if config.timeout.is_zero() || config.timeout > LONGEST_TIMEOUT {
            return Err(Error::setting(
                "timeout",
                format!(
                    "must be above 0 and at most {} seconds",
                    LONGEST_TIMEOUT.as_secs()
                ),
            ));
        }
        let mut address = Address::new(config.api_base.as_deref(), config.api_key.as_ref(), model)?;
        let failed = |what: &str, error: &dyn fmt::Display| {
            Error::Teacher(format!("cannot set up {what}: {error}"))
        };
        // A second call finds the provider installed, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(Duration::from_secs(10))
            .redirect(redirects())
            .referer(false)
            .build()
            .map_err(|error| failed("the HTTP client", &error))?;
        let request = http.post(address.chat.clone()).build();
        let authorization = request
            .as_ref()
            .ok()
            .and_then(|request| request.headers().get(AUTHORIZATION));
        if let Some(authorization) = authorization {
            address.hide(authorization);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| failed("the network threads", &error))?;
        let traffic = Traffic {
            address,
            http,
            job: job.clone(),
            timeout: config.timeout,
            max_requests: config.max_requests,
            gate: Gate::new(config.concurrency),
            sent: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            reached: AtomicBool::new(false),
            paused: Mutex::new(None),
        };
        let server = Server {
            config,
            runtime,
            traffic,
            reserved: Mutex::new(0),
        };
        Ok(Self::of(model, Arc::new(server)))
    }

    /// Makes a client for another model of the same server; both share its limits.
    pub fn sibling(&self, model: &str) -> Self {
        Self::of(model, self.server.clone())
    }

    fn of(model: &str, server: Arc<Server>) -> Self {
        let is_openai = server.traffic.address.origin().is_empty();
        Self {
            model: model.to_string(),
            learning: Learning::new(model, is_openai),
            server,
        }
    }

    async fn request(&self, question: &Question) -> Result<Completion, Failure> {
        let traffic = &self.server.traffic;
        let said = self.learning.ask(traffic, question).await?;
        let prompt_tokens = said.prompt_tokens.unwrap_or(question.estimated_tokens());
        let completion_tokens = said.completion_tokens;
        let completion_tokens = completion_tokens.unwrap_or(estimated_tokens(&said.reply));
        traffic.answered.fetch_add(1, Ordering::SeqCst);
        add(&traffic.prompt_tokens, prompt_tokens);
        add(&traffic.completion_tokens, completion_tokens);
        self.check_whole(question, &said)?;
        Ok(Completion {
            reply: said.reply,
            is_cut: said.is_cut,
            prompt_tokens,
            completion_tokens,
            logprobs: said.logprobs,
        })
    }

    /// Fails if the server says that it has read far less than was sent.
    fn check_whole(&self, question: &Question, said: &Said) -> Result<(), Failure> {
        /// No context is shorter: a server that tells fewer does not count what it had read before.
        const SHORTEST_CONTEXT: u64 = 256;
        let Some(read) = said.prompt_tokens else {
            return Ok(());
        };
        if read < SHORTEST_CONTEXT || read >= fewest_tokens(question) {
            return Ok(());
        }
        Err(Failure::Told(format!(
            "{} has read only {read} of about {} prompt tokens: it silently truncates prompts to its context, so the answer \
             is discarded; raise the context length on the server (Ollama: OLLAMA_CONTEXT_LENGTH) and run again",
            self.server.traffic.address.shown,
            question.estimated_tokens()
        )))
    }

    /// Turns a failure into one line that says what to do, without secrets.
    fn told(&self, failure: &Failure) -> Error {
        let address = &self.server.traffic.address;
        let (base, model) = (&address.shown, &self.model);
        let message = match failure {
            Failure::Said(error) => {
                let said = &error.message;
                match error.status {
                    _ if error.is_quota() => format!(
                        "the quota at {base} is spent: {said}; add credit and run again: what was answered is kept"
                    ),
                    401 => format!(
                        "{base} does not accept the key: {said}; set `api_key` to one that it knows"
                    ),
                    403 => format!(
                        "{base} does not allow this key to use {model}: {said}; choose another `model_engine` or key"
                    ),
                    404 => format!(
                        "{base} has no model {model}, or is no chat API: {said}; check `model_engine` and `api_base`"
                    ),
                    status => format!(
                        "{base} failed with status {status}: {said}; run again to go on: what was answered is kept"
                    ),
                }
            }
            Failure::Transport(error) => {
                let causes = std::iter::successors(error.source(), |&cause| cause.source());
                let causes: Vec<_> = causes.collect();
                let reason = causes
                    .last()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                if causes.iter().any(|cause| is_tls(*cause)) {
                    format!(
                        "no TLS connection to {base}: {reason}; check its certificate, or `api_base` if it speaks http"
                    )
                } else {
                    format!(
                        "cannot reach {base}: {reason}; check that the server runs, `api_base` and the network, then \
                         run again"
                    )
                }
            }
            Failure::Told(sentence) => sentence.clone(),
        };
        Error::Teacher(plain(&address.scrubbed(&message)))
    }
}

impl Server {
    /// Sets tokens aside for a question.
    fn reserve(&self, question: &Question) -> Result<u64> {
        let most = question
            .estimated_tokens()
            .saturating_add(question.max_tokens);
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = reserved.saturating_add(most);
        if let Some(limit) = self.config.max_tokens.filter(|limit| sum > *limit) {
            return Err(Error::Teacher(format!(
                "the next request may need {most} tokens, and with it more than `max_tokens` {limit} would be used; \
                 raise it and run again: what was answered is kept"
            )));
        }
        *reserved = sum;
        Ok(most)
    }

    /// Puts the tokens that a question has used in the place of those that were set aside for it.
    fn settle(&self, reserved: u64, used: u64) {
        let mut sum = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.saturating_sub(reserved).saturating_add(used);
    }
}

impl ChatModel for OpenAi {
    fn name(&self) -> String {
        self.model.clone()
    }

    fn origin(&self) -> String {
        self.server.traffic.address.origin()
    }

    fn concurrency(&self) -> usize {
        self.server.config.concurrency
    }

    fn context(&self) -> Option<u64> {
        self.learning.context()
    }

    fn tell(&self, line: &str) {
        self.server.traffic.job.progress.note(line);
    }

    fn complete(&self, question: &Question) -> Result<Completion> {
        let reserved = self.server.reserve(question)?;
        let job = &self.server.traffic.job;
        let completion = self.server.runtime.block_on(async {
            tokio::select! {
                completion = self.request(question) => Some(completion),
                () = stopped(job) => None,
            }
        });
        match completion {
            Some(Ok(completion)) => {
                let used = completion
                    .prompt_tokens
                    .saturating_add(completion.completion_tokens);
                self.server.settle(reserved, used);
                Ok(completion)
            }
            Some(Err(failure)) => {
                // What a server refuses costs nothing.
                if matches!(failure, Failure::Said(_)) {
                    self.server.settle(reserved, 0);
                }
                Err(self.told(&failure))
            }
            None => Err(Error::Interrupted),
        }
    }

    fn usage(&self) -> Usage {
        let traffic = &self.server.traffic;
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Usage {
            requests: count(&traffic.sent),
            answered: count(&traffic.answered),
            retried: count(&traffic.retried),
            abandoned: count(&traffic.abandoned),
            prompt_tokens: count(&traffic.prompt_tokens),
            completion_tokens: count(&traffic.completion_tokens),
        }
    }
}

/// Adds to a counter, which stays at the largest number rather than begin anew.
fn add(counter: &AtomicU64, more: u64) {
    let add = |count: u64| Some(count.saturating_add(more));
    let _ = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add); // it never refuses
}

/// Whether a connection failed in TLS. Its errors are wrapped in I/O errors; a server that hangs up during the handshake
/// shows in the message only.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| inner.is::<rustls::Error>())
        || error.to_string().contains("tls handshake")
}

/// Waits until someone asks the job to stop.
async fn stopped(job: &Job) {
    while !job.stopped() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
