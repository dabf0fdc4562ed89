//! What goes wrong between us and a hub, and how it is told.

use std::time::Duration;

use super::client::Client;
use super::name::Name;
use crate::Error;
use crate::error::is_obeyed;

/// A server that asks for a longer wait is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How much of a server's words is shown.
const SHOWN: usize = 200;

/// Why there is no answer.
pub(super) enum Failure {
    /// A server answered with an error.
    Status {
        status: u16,
        /// Whether the hub itself answered, not a server that it sent us to.
        at_hub: bool,
        /// Who answered.
        server: String,
        /// The hub's name of the error.
        code: String,
        /// Its words, shortened.
        said: String,
        wait: Option<Duration>,
    },
    /// A connection that may be better next time.
    Broken(String),
    /// No connection at all.
    Unreachable(String),
    /// An answer that cannot be used, and will be the same next time.
    Unusable(String),
    /// Anything that is no matter of the network.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// How long to wait before the request is sent again for the nth time; `None` if that is in vain.
    pub(super) fn wait(&self, n_failed: u32) -> Option<Duration> {
        let backoff = Duration::from_millis(100) * 3_u32.pow(n_failed.min(5));
        match self {
            Self::Broken(_) | Self::Unreachable(_) => Some(backoff),
            Self::Status { status, wait, .. } => {
                let may_pass = matches!(status, 408 | 429 | 500 | 502 | 503 | 504);
                let wait = wait.unwrap_or_default().max(backoff);
                (may_pass && wait <= LONGEST_WAIT).then_some(wait)
            }
            Self::Unusable(_) | Self::Other(_) => None,
        }
    }
}

/// A failure in one line that says what to do; `file` is what was asked for, unless it was the model as a whole.
pub(super) fn to_error(
    client: &Client,
    name: &Name,
    file: Option<&str>,
    failure: Failure,
) -> Error {
    let (id, endpoint) = (&name.id, client.shown());
    let what = match file {
        Some(file) => printable(file),
        None => format!("revision {}", name.revision),
    };
    let access =
        format!("ask for access on {endpoint}/{id}, then set HF_TOKEN to a token of that account");
    let again = "run again to resume the download";
    Error::Hub(match failure {
        Failure::Other(error) => return error,
        // Only a model that exists has files, and says of itself that it is gated.
        Failure::Status {
            status: 401 | 403,
            at_hub: true,
            code,
            ..
        } if file.is_some() || code == "GatedRepo" => {
            format!("{id} is gated or private: {access}")
        }
        // The hub does not tell strangers whether a private model exists.
        Failure::Status {
            status: 401 | 403,
            at_hub: true,
            ..
        } => format!(
            "{endpoint} has no model {id}, or it is gated or private: check the name; if it is right, {access}"
        ),
        Failure::Status {
            status: 404,
            at_hub: true,
            ..
        } => format!(
            "found neither a folder {id} nor {what} of a model {id} at {endpoint}; check the name"
        ),
        Failure::Status {
            status,
            server,
            said,
            ..
        } => {
            let said = if said.is_empty() {
                said
            } else {
                format!(", {said}")
            };
            format!("cannot download {what} of {id}: {server} answers {status}{said}; {again}")
        }
        Failure::Broken(reason) | Failure::Unreachable(reason) => {
            format!("cannot download {what} of {id}: {reason}; {again}")
        }
        Failure::Unusable(reason) => format!("cannot download {what} of {id}: {reason}"),
    })
}

/// The innermost reason of an error, which says what happened; those around it say where in the client.
pub(super) fn reason(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text = inner.to_string();
        next = inner.source();
    }
    printable(&text)
}

/// A text of a server in one short line that a terminal shows as it is.
pub(super) fn printable(text: &str) -> String {
    // A name with a space that nobody sees is another name.
    let hidden = |c: char| is_obeyed(c) || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
    let text: String = text
        .trim()
        .chars()
        .take(SHOWN + 1)
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_one_short_line_without_control_characters() {
        assert_eq!(
            printable(" a\u{1b}[31m\nb\u{202e} "),
            "a\u{fffd}[31m b\u{fffd}"
        );
        let long = printable(&"x".repeat(1_000_000));
        assert_eq!(long.chars().count(), SHOWN + 1);
        assert_eq!(printable(&"é".repeat(SHOWN)), "é".repeat(SHOWN));
    }

    #[test]
    fn only_what_may_pass_is_waited_for_and_not_for_long() {
        let status = |status, wait: Option<u64>| Failure::Status {
            status,
            at_hub: true,
            server: String::new(),
            code: String::new(),
            said: String::new(),
            wait: wait.map(Duration::from_secs),
        };
        assert!(status(404, None).wait(0).is_none());
        assert_eq!(status(503, None).wait(1), Some(Duration::from_millis(300)));
        assert_eq!(status(429, Some(7)).wait(0), Some(Duration::from_secs(7)));
        assert!(status(429, Some(1_000_000_000)).wait(0).is_none());
    }
}
