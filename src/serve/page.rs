//! The files of the page at `/`.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;

use super::state::State;

/// What the page may do: talk to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The path of each file, its type, and what is in it.
const FILES: [(&str, &str, &str); 9] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page.css", CSS, include_str!("page/page.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/talk.js", SCRIPT, include_str!("page/talk.js")),
    ("/statements.js", SCRIPT, include_str!("page/statements.js")),
    ("/training.js", SCRIPT, include_str!("page/training.js")),
    ("/report.js", SCRIPT, include_str!("page/report.js")),
];

/// Whether a path is one of the page's.
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|(known, ..)| *known == path)
}

pub(super) fn router() -> Router<Arc<State>> {
    FILES
        .iter()
        .fold(Router::new(), |router, &(path, kind, text)| {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            router.route(path, get(async move || (headers, text)))
        })
}
