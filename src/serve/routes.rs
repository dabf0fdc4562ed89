//! Paths, and what every request goes through: the key, the limits, and words of its own for each refusal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State as Shared};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Receiver;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::error::ApiError;
use super::metrics::Route;
use super::requests::{parse, parse_chat, parse_completion};
use super::responses::{List, Model};
use super::state::State;
use super::{characters, chat, completions, page, score};

/// A request's place among those that are under way; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _permit: OwnedSemaphorePermit,
    state: Arc<State>,
}

impl Admitted {
    pub(super) fn new(state: &Arc<State>) -> Result<Self, ApiError> {
        let permit = state.room.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::busy())?;
        state.metrics.running.inc();
        Ok(Self {
            _permit: permit,
            state: state.clone(),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.state.metrics.running.dec();
    }
}

/// All paths, without `/v1` in front.
pub(super) fn router(state: Arc<State>) -> Router {
    let cors = cors(&state.config.origins);
    Router::new()
        .merge(page::router())
        .route("/openapi.json", get(openapi))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/models", get(models))
        .route("/models/{id}", get(model))
        .route("/characters", get(characters::all))
        .route(
            "/characters/{id}",
            get(characters::one).put(characters::restate),
        )
        .route("/characters/{id}/lint", post(characters::lint))
        .route("/characters/{id}/report", get(characters::report))
        .route(
            "/characters/{id}/train",
            get(characters::training)
                .post(characters::train)
                .delete(characters::stop_training),
        )
        .route("/chat/completions", post(chat_completions))
        .route("/completions", post(text_completions))
        .route("/score", post(scores))
        .fallback(async || ApiError::no_route())
        .method_not_allowed_fallback(async || ApiError::no_method())
        .layer(from_fn_with_state(state.clone(), watch))
        .layer(cors)
        .with_state(state)
}

/// Browsers' pages from other places may call only if they were named.
fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => {
            let known = origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok());
            AllowOrigin::list(known)
        }
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .allow_private_network(true)
}

/// A path as it is routed: without `/v1` in front and without double slashes.
pub(super) fn plain_path(uri: &Uri) -> Option<Uri> {
    let parts = uri.path().split('/').filter(|part| !part.is_empty());
    let mut parts: Vec<&str> = parts.collect();
    if parts.first() == Some(&"v1") {
        parts.remove(0);
    }
    let mut path = format!("/{}", parts.join("/"));
    if let Some(query) = uri.query() {
        path = format!("{path}?{query}");
    }
    path.parse().ok()
}

/// The route of a path, for counters that must not grow with what clients make up.
fn route_of(path: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "/",
        "/openapi.json",
        "/health",
        "/metrics",
        "/models",
        "/characters",
        "/chat/completions",
        "/completions",
        "/score",
        "other",
    ];
    let first = KNOWN.iter().find(|known| **known == path);
    match first {
        Some(known) => known,
        None if page::has(path) => "/",
        None if path.starts_with("/models/") => "/models",
        None if path.starts_with("/characters/") => "/characters",
        None => "other",
    }
}

/// Whether a request comes from a program, from the server's own page or from one that was named: a browser tells the page's
/// origin. Without a key the server must also be called by an address or as localhost, as pages can give other names to it.
fn is_own(state: &State, headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let host = text(header::HOST).unwrap_or_default();
    let authority: Option<Authority> = host.parse().ok();
    let name = authority.as_ref().map_or("", |authority| authority.host());
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = name.parse::<IpAddr>().is_ok() || name == "localhost";
    let config = &state.config;
    if config.api_key.is_none() && !config.allow_any_host && !is_address {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    let is_named = |known: &String| known == "*" || known.trim_end_matches('/') == origin;
    let own = origin.split_once("://").map(|(_, own)| own);
    own == Some(host) || config.origins.iter().any(is_named)
}

/// Checks the key and counts the answer. What tells nothing of the characters needs no key.
async fn watch(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let path = route_of(request.uri().path());
    let is_open = matches!(path, "/" | "/health" | "/openapi.json");
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.to_str().ok());
    let response = match (
        is_own(&state, request.headers()),
        is_open || state.admits(sent),
    ) {
        (false, _) => ApiError::foreign().into_response(),
        (true, false) => ApiError::no_key().into_response(),
        (true, true) => next.run(request).await,
    };
    let status = response.status().as_u16();
    state
        .metrics
        .requests
        .get_or_create(&Route { path, status })
        .inc();
    response
}

/// Reads a body of at most the size that is allowed; who sends it slowly does not keep a place for long.
async fn body(state: &State, body: Body) -> Result<Vec<u8>, ApiError> {
    const TIME: Duration = Duration::from_secs(30);
    let most = state.config.max_body;
    let read = Limited::new(body, most).collect();
    let Ok(read) = tokio::time::timeout(TIME, read).await else {
        return Err(ApiError::too_slow(TIME.as_secs()));
    };
    match read {
        Ok(read) => Ok(read.to_bytes().to_vec()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::too_large(most))
        }
        Err(_) => Err(ApiError::invalid(None, "the body did not come whole")),
    }
}

/// Gives a request a place, reads its body, and has it answered within the time that it may take.
pub(super) async fn answered<A>(
    state: &Arc<State>,
    request: Request,
    answer: impl FnOnce(Admitted, Vec<u8>) -> A,
) -> Response
where
    A: Future<Output = Result<Response, ApiError>>,
{
    let limit = state.config.timeout;
    let answer = async {
        // Who sends a body slowly takes no place from those who have sent theirs.
        let reading = state.reading.clone().try_acquire_owned();
        let reading = reading.map_err(|_| ApiError::busy())?;
        let bytes = body(state, request.into_body()).await?;
        drop(reading);
        answer(Admitted::new(state)?, bytes).await
    };
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::too_late(limit.as_secs()).into_response(),
    }
}

async fn chat_completions(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let answer = async |admitted, bytes: Vec<u8>| {
        chat::answer(state.clone(), admitted, parse_chat(&bytes)?).await
    };
    answered(&state, request, answer).await
}

async fn text_completions(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let answer = async |admitted, bytes: Vec<u8>| {
        completions::answer(state.clone(), admitted, parse_completion(&bytes)?).await
    };
    answered(&state, request, answer).await
}

async fn scores(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let answer = async |_admitted, bytes: Vec<u8>| score::answer(&state, parse(&bytes)?).await;
    answered(&state, request, answer).await
}

async fn openapi() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, include_str!("openapi.json")).into_response()
}

async fn health() -> Response {
    Json(serde_json::json!({"status": "ok"})).into_response()
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.text()).into_response()
}

fn model_of(state: &State, id: String) -> Model {
    Model {
        id,
        object: "model",
        created: state.created,
        owned_by: "apc",
    }
}

async fn models(Shared(state): Shared<Arc<State>>) -> Json<List<Model>> {
    let names = state.names().into_iter();
    Json(List::new(names.map(|id| model_of(&state, id)).collect()))
}

/// The name in a path.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::from_request_parts(parts, state).await;
        let Path(id) = read.map_err(|_| ApiError::invalid(None, "the path is not UTF-8"))?;
        Ok(Self(id))
    }
}

async fn model(Shared(state): Shared<Arc<State>>, Id(id): Id) -> Result<Json<Model>, ApiError> {
    let speaker = state.speaker(Some(&id))?;
    Ok(Json(model_of(&state, speaker.id)))
}

/// Events as they come.
pub(super) fn stream_response(events: Receiver<Event>) -> Response {
    let events = stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok::<Event, std::convert::Infallible>(event), events))
    });
    let keep_alive = KeepAlive::new().text("ping");
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Some proxies hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let response = Sse::new(events).keep_alive(keep_alive);
    (StatusCode::OK, headers, response).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_with_and_without_the_version_and_with_double_slashes() {
        for (path, plain) in [
            ("/v1/chat/completions", "/chat/completions"),
            ("/chat/completions", "/chat/completions"),
            ("//v1//chat//completions", "/chat/completions"),
            ("/v1//models/?a=b", "/models?a=b"),
            ("/", "/"),
            ("/v1", "/"),
            ("/v1/../etc/passwd", "/../etc/passwd"),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(plain_path(&uri).unwrap().to_string(), plain);
        }
    }
}
