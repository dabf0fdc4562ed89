//! Replies that are told while they grow.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use axum::response::sse::Event;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, channel, unbounded_channel};

use super::error::ApiError;
use super::replies::{Piece, Ready, Sampled, Wanted};
use super::routes::{Admitted, stream_response};
use super::state::{Speaker, State};

/// How long a client that reads slowly is waited for with the error that ends its stream.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Why a stream ends early.
pub(super) enum Ended {
    /// The client is gone.
    Gone,
    Failed(ApiError),
}

/// The way to a client that reads events.
#[derive(Clone, Debug)]
pub(super) struct ToClient(Sender<Event>);

impl ToClient {
    /// Sends the data of an event; fails once the client is gone.
    pub(super) async fn send(&self, data: String) -> Result<(), Ended> {
        let event = Event::default().data(data);
        self.0.send(event).await.map_err(|_| Ended::Gone)
    }
}

type Sampling<'a> = Pin<Box<dyn Future<Output = Result<Vec<Sampled>, ApiError>> + Send + 'a>>;

/// Replies under way, and what came of them that was not told yet.
pub(super) struct Live<'a> {
    sampling: Sampling<'a>,
    pieces: UnboundedReceiver<Piece>,
    replies: Option<Vec<Sampled>>,
    to_client: &'a ToClient,
}

impl<'a> Live<'a> {
    pub(super) fn new(
        state: &'a Arc<State>,
        ready: &'a Ready,
        speaker: &'a Speaker,
        wanted: &'a Wanted,
        to_client: &'a ToClient,
    ) -> Self {
        let (sender, pieces) = unbounded_channel();
        let sampling = async move {
            let mut on_text = move |piece| {
                // The reader ends with this future alone.
                let _ = sender.send(piece);
            };
            ready.replies(state, speaker, wanted, &mut on_text).await
        };
        Self {
            sampling: Box::pin(sampling),
            pieces,
            replies: None,
            to_client,
        }
    }

    /// The next piece of the only reply; nothing at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Ended> {
        while self.replies.is_none() {
            tokio::select! {
                biased;
                Some(piece) = self.pieces.recv() => return Ok(Some(piece)),
                replies = &mut self.sampling => {
                    self.replies = Some(replies.map_err(Ended::Failed)?);
                }
                // A client that went away ends the sampling.
                () = self.to_client.0.closed() => return Err(Ended::Gone),
            }
        }
        Ok(self.pieces.try_recv().ok())
    }

    /// The replies, once there is no piece any more.
    pub(super) fn into_replies(self) -> Vec<Sampled> {
        self.replies.unwrap_or_default()
    }
}

/// Answers with events. `tell` sends them; what fails then is told as the last one.
pub(super) fn stream<T>(
    state: Arc<State>,
    admitted: Admitted,
    tell: impl FnOnce(Arc<State>, ToClient) -> T,
) -> Response
where
    T: Future<Output = Result<(), Ended>> + Send + 'static,
{
    let (to_client, from_here) = channel(16);
    let limit = state.config.timeout;
    let telling = tell(state, ToClient(to_client.clone()));
    tokio::spawn(async move {
        let error = match tokio::time::timeout(limit, telling).await {
            Ok(Ok(())) | Ok(Err(Ended::Gone)) => return,
            Ok(Err(Ended::Failed(error))) => error,
            Err(_) => ApiError::too_late(limit.as_secs()),
        };
        // Whoever reads nothing keeps no place.
        drop(admitted);
        let event = Event::default().data(error.to_event());
        let _ = tokio::time::timeout(LAST_WORD, to_client.send(event)).await;
    });
    stream_response(from_here)
}
