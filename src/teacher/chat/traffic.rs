//! What goes to a chat server: each request sent, counted, and sent again where that may help.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_openai::error::{ApiError, ApiErrorResponse, OpenAIError};
use async_openai::middleware::HttpRequestFactory;
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::teacher::chat::answer::Answer;

/// Failures of one request, one after another, that end the run.
const MOST_FAILURES: usize = 8;
/// How often one request is put off by a server that is busy, before the run ends.
const MOST_WAITS: usize = 40;

/// Sends requests, again where that may help, and counts them.
pub(super) struct Traffic {
    pub(super) http: reqwest::Client,
    pub(super) keyless: bool,
    pub(super) max_requests: Option<u64>,
    pub(super) sent: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) completion_tokens: AtomicU64,
    /// Whether the server has ever said anything; one that has not is not there.
    pub(super) reached: AtomicBool,
}

/// How one attempt ended.
enum Attempt {
    Answered(Response),
    /// The server is busy, and may have said for how long.
    Busy(Option<Duration>, OpenAIError),
    /// It may work another time.
    Failed(Option<Duration>, OpenAIError),
    /// It will not.
    Refused(OpenAIError),
}

impl Traffic {
    /// Sends a request until it is answered, refused, or has failed too often.
    pub(super) async fn send(&self, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(30))
            .with_jitter()
            .without_max_times()
            .build();
        let (mut failures, mut waits) = (0, 0);
        loop {
            let (wanted, error) = match self.attempt(&request).await? {
                Attempt::Answered(response) => return Ok(response),
                Attempt::Refused(error) => return Err(error),
                Attempt::Busy(wanted, error) => {
                    waits += 1;
                    (wanted, error)
                }
                Attempt::Failed(wanted, error) => {
                    failures += 1;
                    (wanted, error)
                }
            };
            if failures >= MOST_FAILURES || waits >= MOST_WAITS {
                return Err(error);
            }
            self.retried.fetch_add(1, Ordering::SeqCst);
            let pause = pauses.next().unwrap_or_default();
            tokio::time::sleep(wanted.map_or(pause, |wanted| wanted.max(pause))).await;
        }
    }

    async fn attempt(&self, request: &HttpRequestFactory) -> Result<Attempt, OpenAIError> {
        let mut request = request.build().await?;
        if self.keyless {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let count = |sent| {
            self.max_requests
                .is_none_or(|most| sent < most)
                .then_some(sent + 1)
        };
        let counted = self
            .sent
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        if let Err(sent) = counted {
            return Err(OpenAIError::InvalidArgument(format!(
                "{sent} requests were sent, which is `max_requests`; raise it and run again: what was answered is kept"
            )));
        }
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Ok(Attempt::Refused(error.into())),
            Err(error) if error.is_connect() && !self.reached.load(Ordering::SeqCst) => {
                return Ok(Attempt::Refused(error.into()));
            }
            Err(error) => return Ok(Attempt::Failed(None, error.into())),
        };
        self.reached.store(true, Ordering::SeqCst);
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Attempt::Failed(wait, error.into())),
        };
        if status.is_success() {
            return Ok(match serde_json::from_slice::<Answer>(&body) {
                Ok(_) => {
                    let response = whole_response(status, body.to_vec());
                    Attempt::Answered(response)
                }
                Err(error) => {
                    let said = format!("its answer is no chat completion: {error}");
                    Attempt::Failed(wait, api_error(StatusCode::BAD_GATEWAY, said))
                }
            });
        }
        let error = read_api_error(status, &body);
        Ok(match status.as_u16() {
            429 if matches!(&error, OpenAIError::ApiError(error) if is_quota(&error.api_error)) => {
                Attempt::Refused(error)
            }
            429 => Attempt::Busy(wait, error),
            408 | 409 | 500.. => Attempt::Failed(wait, error),
            _ => Attempt::Refused(error),
        })
    }
}

/// Rebuilds a response from a body that was read already.
fn whole_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    Response::from(response)
}

fn api_error(status_code: StatusCode, message: String) -> OpenAIError {
    OpenAIError::ApiError(ApiErrorResponse {
        status_code,
        api_error: ApiError {
            message,
            ..ApiError::default()
        },
    })
}

/// Reads a server's error message, which differs in form between servers.
fn read_api_error(status: StatusCode, body: &[u8]) -> OpenAIError {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let inner = value.get("error").unwrap_or(&value);
    let message = [inner.get("message"), inner.get("detail"), Some(inner)]
        .into_iter()
        .flatten()
        .find_map(text);
    let plain = || {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().find(|line| !line.trim().is_empty());
        line.map_or_else(
            || status.to_string(),
            |line| line.chars().take(200).collect(),
        )
    };
    OpenAIError::ApiError(ApiErrorResponse {
        status_code: status,
        api_error: ApiError {
            message: message.unwrap_or_else(plain),
            r#type: inner.get("type").and_then(text),
            code: inner.get("code").and_then(text),
            ..ApiError::default()
        },
    })
}

/// Whether money has run out, which waiting does not help.
pub(super) fn is_quota(error: &ApiError) -> bool {
    const QUOTA: &str = "insufficient_quota";
    error.code.as_deref() == Some(QUOTA) || error.r#type.as_deref() == Some(QUOTA)
}

/// How long a server asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
    };
    Some(seconds.min(Duration::from_secs(600)))
}
