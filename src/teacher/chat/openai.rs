//! A server that speaks OpenAI's chat API.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiErrorResponse, OpenAIError};
use async_openai::middleware::HttpRequestFactory;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::progress::Job;
use crate::teacher::chat::answer::{Answer, Logprob};
use crate::teacher::chat::model::{
    ChatModel, Completion, Question, TokenLogprobs, Usage, estimated_tokens,
};
use crate::teacher::chat::traffic::{Traffic, is_quota};
use crate::{Error, Result};

/// OpenAI's own server.
const OPENAI: &str = "https://api.openai.com/v1";

/// The address, key and limits of a chat model's server.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The server, up to and with `/v1`; OpenAI's own if absent.
    pub api_base: Option<String>,
    /// The key, if the server needs one.
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

/// A chat model reached over OpenAI's API.
pub struct OpenAi {
    model: String,
    /// The server's address.
    base: String,
    config: OpenAiConfig,
    job: Job,
    runtime: tokio::runtime::Runtime,
    client: Client<OpenAIConfig>,
    traffic: Arc<Traffic>,
    /// The request form that the server accepts, known after its first answer.
    form: tokio::sync::Mutex<Option<Form>>,
    /// Tokens used, and those that running requests may still use.
    reserved: Mutex<u64>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("model", &self.model)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// Which optional parts of a request the server takes.
#[derive(Clone, Copy)]
struct Form {
    structured: bool,
    temperature: bool,
    logprobs: bool,
}

impl OpenAi {
    /// Makes a client, which sends nothing yet; `job` can stop it.
    ///
    /// # Errors
    ///
    /// Fails if the key cannot be sent in a header or is missing for OpenAI's own server, if the address is none, or if
    /// `concurrency` or `timeout` is 0.
    pub fn new(model: &str, config: OpenAiConfig, job: &Job) -> Result<Self> {
        if config.concurrency == 0 {
            return Err(Error::setting(
                "concurrency",
                "is 0, but must be at least 1",
            ));
        }
        if config.timeout.is_zero() {
            return Err(Error::setting("timeout", "must be above 0 seconds"));
        }
        let base = config.api_base.clone().unwrap_or_else(|| OPENAI.into());
        let base = base.trim_end_matches('/').to_string();
        let parsed = reqwest::Url::parse(&base).ok();
        let is_server =
            |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let Some(mut address) = parsed.filter(is_server) else {
            return Err(Error::setting(
                "api_base",
                format!("{base} is no address of a server, such as http://localhost:8000/v1"),
            ));
        };
        // The address shown in messages has no password.
        if address
            .set_username("")
            .and(address.set_password(None))
            .is_err()
        {
            address.set_path("");
        }
        let key = config.api_key.as_ref().map(ExposeSecret::expose_secret);
        if key.is_some_and(|key| HeaderValue::from_str(key).is_err() || key.trim() != key) {
            return Err(Error::setting(
                "api_key",
                "has a space or a line break in it; set it to the key alone",
            ));
        }
        if key.is_none_or(str::is_empty) && base == OPENAI {
            return Err(Error::setting(
                "api_key",
                format!(
                    "is not set, but {model} needs it: set it to your key, name another server with `api_base`, \
                     or use `model_engine` offline"
                ),
            ));
        }
        let failed = |what: &str, error: &dyn fmt::Display| {
            Error::Teacher(format!("cannot set up {what}: {error}"))
        };
        // A second call finds the provider installed, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| failed("the HTTP client", &error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| failed("the network threads", &error))?;
        let traffic = Arc::new(Traffic {
            http,
            keyless: key.is_none_or(str::is_empty),
            max_requests: config.max_requests,
            sent: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            reached: AtomicBool::new(false),
        });
        let sender = traffic.clone();
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let traffic = sender.clone();
            async move { traffic.send(request).await }
        });
        let credentials = OpenAIConfig::new()
            .with_api_base(&base)
            .with_api_key(key.unwrap_or_default());
        let client = Client::with_config(credentials).with_http_service(service);
        Ok(Self {
            model: model.to_string(),
            base: address.to_string().trim_end_matches('/').to_string(),
            config,
            job: job.clone(),
            runtime,
            client,
            traffic,
            form: tokio::sync::Mutex::new(None),
            reserved: Mutex::new(0),
        })
    }

    async fn ask(&self, question: &Question) -> Result<Completion> {
        let mut known = self.form.lock().await;
        if let Some(form) = *known {
            drop(known);
            return self.request(question, form).await.map_err(|e| self.told(e));
        }
        // The first question is asked alone, to find out what the server accepts.
        let mut form = Form {
            structured: true,
            temperature: true,
            logprobs: true,
        };
        loop {
            match self.request(question, form).await {
                Ok(completion) => {
                    *known = Some(form);
                    return Ok(completion);
                }
                Err(OpenAIError::ApiError(error))
                    if matches!(error.status_code.as_u16(), 400 | 422)
                        && (form.structured
                            || form.temperature
                            || form.logprobs && question.logprobs) =>
                {
                    // Drop the part that the refusal names, else one part after the other.
                    let names = |part: &str| error.api_error.message.contains(part);
                    let logprobs = form.logprobs && question.logprobs;
                    if logprobs && (names("logprobs") || !(form.structured || form.temperature)) {
                        form.logprobs = false;
                    } else if form.temperature && (names("temperature") || !form.structured) {
                        form.temperature = false;
                    } else {
                        form.structured = false;
                    }
                }
                Err(error) => return Err(self.told(error)),
            }
        }
    }

    async fn request(&self, question: &Question, form: Form) -> Result<Completion, OpenAIError> {
        let mut body = json!({
            "model": self.model,
            "messages": question.messages,
            "max_completion_tokens": question.max_tokens,
            "stream": false,
        });
        if form.temperature {
            body["temperature"] = json!(0);
        }
        if form.logprobs && question.logprobs {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(10);
        }
        if form.structured {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": question.task, "schema": question.schema, "strict": true},
            });
        }
        let answer: Answer = self.client.chat().create_byot(body).await?;
        let counted = |tokens: Option<u64>, text: &str| tokens.unwrap_or(estimated_tokens(text));
        let (reply, is_cut, logprobs) = match answer.choices.into_iter().next() {
            Some(choice) => (
                choice.message.content.unwrap_or_default(),
                choice.finish_reason.as_deref() == Some("length"),
                choice.logprobs.and_then(|logprobs| logprobs.content),
            ),
            None => Default::default(),
        };
        let likely = |token: Logprob| TokenLogprobs {
            top: std::iter::once((token.token.clone(), token.logprob))
                .chain(
                    token
                        .top_logprobs
                        .into_iter()
                        .filter(|other| other.token != token.token)
                        .map(|other| (other.token, other.logprob)),
                )
                .collect(),
            token: token.token,
        };
        let logprobs = logprobs.unwrap_or_default().into_iter().map(likely);
        let prompt: String = question
            .messages
            .iter()
            .map(|message| message.content.as_str())
            .collect();
        let usage = answer.usage;
        let completion = Completion {
            prompt_tokens: counted(usage.and_then(|usage| usage.prompt_tokens), &prompt),
            completion_tokens: counted(usage.and_then(|usage| usage.completion_tokens), &reply),
            logprobs: logprobs.collect(),
            is_cut,
            reply,
        };
        let traffic = &self.traffic;
        traffic.answered.fetch_add(1, Ordering::SeqCst);
        traffic
            .prompt_tokens
            .fetch_add(completion.prompt_tokens, Ordering::SeqCst);
        traffic
            .completion_tokens
            .fetch_add(completion.completion_tokens, Ordering::SeqCst);
        Ok(completion)
    }

    /// Sets tokens aside for a question.
    fn reserve(&self, question: &Question) -> Result<u64> {
        let most = question.estimated_tokens() + question.max_tokens;
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = self
            .config
            .max_tokens
            .filter(|limit| *reserved + most > *limit)
        {
            return Err(Error::Teacher(format!(
                "the next request may need {most} tokens, and with it more than `max_tokens` {limit} would be used; \
                 raise it and run again: what was answered is kept"
            )));
        }
        *reserved += most;
        Ok(most)
    }

    /// Turns a failure into one line that says what to do, without the key.
    fn told(&self, error: OpenAIError) -> Error {
        let (base, model) = (&self.base, &self.model);
        let message = match &error {
            OpenAIError::ApiError(ApiErrorResponse {
                status_code,
                api_error,
            }) => {
                let said = api_error.message.trim();
                match status_code.as_u16() {
                    401 => format!(
                        "{base} does not accept the key: {said}; set `api_key` to one that it knows"
                    ),
                    403 => format!(
                        "{base} does not allow this key to use {model}: {said}; choose another `model_engine` or key"
                    ),
                    404 => format!(
                        "{base} has no model {model}, or is no chat API: {said}; check `model_engine` and `api_base`"
                    ),
                    429 if is_quota(api_error) => {
                        format!(
                            "the quota at {base} is spent: {said}; add credit and run again: what was answered is kept"
                        )
                    }
                    status => format!(
                        "{base} failed with status {status}: {said}; run again to go on: what was answered is kept"
                    ),
                }
            }
            OpenAIError::Reqwest(error) => {
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
            OpenAIError::InvalidArgument(limit) => limit.clone(),
            other => format!("{base}: {other}"),
        };
        let key = self
            .config
            .api_key
            .as_ref()
            .map(ExposeSecret::expose_secret);
        let message = match key.filter(|key| !key.is_empty()) {
            Some(key) => message.replace(key, "…"),
            None => message,
        };
        Error::Teacher(message)
    }
}

impl ChatModel for OpenAi {
    fn name(&self) -> String {
        self.model.clone()
    }

    fn concurrency(&self) -> usize {
        self.config.concurrency
    }

    fn complete(&self, question: &Question) -> Result<Completion> {
        let reserved = self.reserve(question)?;
        let completion = self.runtime.block_on(async {
            tokio::select! {
                completion = self.ask(question) => completion,
                () = stopped(&self.job) => Err(Error::Interrupted),
            }
        });
        if let Ok(completion) = &completion {
            let used = completion.prompt_tokens + completion.completion_tokens;
            let mut sum = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
            *sum = (*sum + used).saturating_sub(reserved);
        }
        completion
    }

    fn usage(&self) -> Usage {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Usage {
            requests: count(&self.traffic.sent),
            answered: count(&self.traffic.answered),
            retried: count(&self.traffic.retried),
            prompt_tokens: count(&self.traffic.prompt_tokens),
            completion_tokens: count(&self.traffic.completion_tokens),
        }
    }
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
