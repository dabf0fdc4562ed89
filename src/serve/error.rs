//! What a client is told when something goes wrong.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use crate::Error;
use crate::pattern::pattern;

/// An error as OpenAI's API writes it.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    body: Body,
    /// Seconds after which to ask again, if that may help.
    retry_after: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct Body {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<Cow<'static, str>>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    error: &'a Body,
}

/// What a client has sent may be in a message, but not all of it.
fn shortened(mut message: String) -> String {
    /// Characters.
    const MOST: usize = 600;
    if let Some((end, _)) = message.char_indices().nth(MOST) {
        message.truncate(end);
        message.push('…');
    }
    message
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            body: Body {
                message: shortened(message.into()),
                kind,
                param: None,
                code,
            },
            retry_after: None,
        }
    }

    /// The request makes no sense; `param` is the field that is wrong.
    pub(super) fn invalid(param: Option<&'static str>, message: impl Into<String>) -> Self {
        let mut error = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            None,
            message,
        );
        error.body.param = param.map(Cow::Borrowed);
        error
    }

    /// The same of a part of a field.
    pub(super) fn invalid_at(param: String, message: impl Into<String>) -> Self {
        let mut error = Self::invalid(None, message);
        error.body.param = Some(Cow::Owned(param));
        error
    }

    /// A field that would change the answer, but is not known here.
    pub(super) fn unknown(param: &'static str, to_do: &str) -> Self {
        Self::invalid(Some(param), format!("{param} is not known here: {to_do}"))
    }

    /// A character that clients may not change.
    pub(super) fn locked(reason: String) -> Self {
        let status = StatusCode::FORBIDDEN;
        Self::new(status, "invalid_request_error", Some("locked"), reason)
    }

    /// What is asked for cannot go on beside what does.
    pub(super) fn conflict(message: String) -> Self {
        let status = StatusCode::CONFLICT;
        Self::new(status, "invalid_request_error", None, message)
    }

    /// No character and no model has that name.
    pub(super) fn no_model(name: &str, names: &[String]) -> Self {
        let names = names.join(", ");
        let name: String = name.chars().take(100).collect();
        let message = format!("there is no model {name:?}; there are {names}");
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            Some("model_not_found"),
            message,
        )
    }

    /// Nothing is at that path.
    pub(super) fn no_route() -> Self {
        let message = "there is nothing at this path; POST /v1/chat/completions answers, GET /openapi.json lists all paths";
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            None,
            message,
        )
    }

    /// The path is there, but not for that method.
    pub(super) fn no_method() -> Self {
        let message = "this path does not take this method; GET /openapi.json lists all paths";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "invalid_request_error", None, message)
    }

    /// The key is missing or wrong.
    pub(super) fn no_key() -> Self {
        let message =
            "the API key is missing or wrong; send the server's as \"Authorization: Bearer KEY\"";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            Some("invalid_api_key"),
            message,
        )
    }

    /// A browser's page from elsewhere, or a name that is not this machine's, which such a page may have made up.
    pub(super) fn foreign() -> Self {
        let message = "a web page from elsewhere asks, or the server is called by a name that is not its own; whoever runs it can \
                       name pages that may ask, or set a key, with which it answers to any name";
        let status = StatusCode::FORBIDDEN;
        Self::new(status, "invalid_request_error", None, message)
    }

    /// The body is larger than is read.
    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("the body is larger than {most} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            None,
            message,
        )
    }

    /// As many requests as may wait do.
    pub(super) fn busy() -> Self {
        let message = "the server has as many requests as it takes at once; ask again later";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut error = Self::new(
            status,
            "rate_limit_error",
            Some("rate_limit_exceeded"),
            message,
        );
        error.retry_after = Some(2);
        error
    }

    /// The time for a request is over.
    pub(super) fn too_late(seconds: u64) -> Self {
        let message =
            format!("no reply in {seconds} seconds; ask for fewer tokens or fewer choices");
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "server_error",
            Some("timeout"),
            message,
        )
    }

    /// The body did not come in time.
    pub(super) fn too_slow(seconds: u64) -> Self {
        let message = format!("the body did not come within {seconds} seconds");
        let status = StatusCode::REQUEST_TIMEOUT;
        Self::new(status, "invalid_request_error", None, message)
    }

    /// Something is wrong here; what it is goes to the log alone, as it may name files.
    pub(super) fn internal() -> Self {
        let message = "the server failed to answer; its log says why";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", None, message)
    }

    /// As the data of an event in a stream that has begun.
    pub(super) fn to_event(&self) -> String {
        serde_json::to_string(&Wrapped { error: &self.body }).unwrap_or_default()
    }
}

pattern!(
    PATH,
    r#"(^|[\s"'(\[=])(?:[A-Za-z]:|~|\.{1,2})?(?:[/\\][^/\\\s"'();,]+)+[/\\]([^/\\\s"'();,]+)"#
);

/// A text with the names of files in place of their paths on this machine.
pub(super) fn without_paths(text: &str) -> String {
    PATH.replace_all(text, "$1$2").into_owned()
}

impl From<Error> for ApiError {
    /// What the client can mend is told; the rest is for the log.
    fn from(error: Error) -> Self {
        match error {
            Error::Usage(message) => Self::invalid(None, message),
            Error::Setting { name, reason } => {
                Self::invalid(Some(name), format!("{name} {reason}"))
            }
            _ => Self::internal(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Wrapped { error: &self.body })).into_response();
        // Some programs show the reason phrase alone.
        let message = self.body.message.as_bytes();
        let is_plain = message.is_ascii() && message.len() <= 200;
        if let Some(reason) = ReasonPhrase::try_from(message).ok().filter(|_| is_plain) {
            response.extensions_mut().insert(reason);
        }
        let headers = response.headers_mut();
        if matches!(
            self.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            // What else comes of the body is not read.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        match self.retry_after {
            Some(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            // OpenAI's clients try again by themselves.
            None => {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_without_their_folders() {
        for (text, told) in [
            (
                "/home/tom/data/Mira/pairs.jsonl: line 3",
                "pairs.jsonl: line 3",
            ),
            (
                "see \"C:\\apc\\data\\a.json\" (~/b/c.txt)",
                "see \"a.json\" (c.txt)",
            ),
            ("./data/Mira/a.jsonl, ../b/c.json", "a.jsonl, c.json"),
            (
                "data/Mira/a.jsonl and and/or, 3/4",
                "data/Mira/a.jsonl and and/or, 3/4",
            ),
            ("at https://example.org/a/b", "at https://example.org/a/b"),
        ] {
            assert_eq!(without_paths(text), told);
        }
    }
}
