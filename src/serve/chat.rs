//! `POST /v1/chat/completions`, in one piece or as a stream.

use std::sync::Arc;

use axum::Json;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::api::{
    ChatChunk, ChatRequest, ChatResponse, Choice, ChoiceLogprobs, ChunkChoice, Delta, ReplyMessage,
    Usage,
};
use super::error::ApiError;
use super::replies::{Piece, Ready, Sampled, Wanted, prepare};
use super::routes::{Admitted, stream_response};
use super::state::{Speaker, State};
use crate::text::Message;

/// Characters of a piece of a reply that is sent once it is whole.
const PIECE: usize = 24;

/// A chat, read and checked.
pub(super) struct Chat {
    speaker: Speaker,
    messages: Vec<Message>,
    wanted: Wanted,
    includes_usage: bool,
    id: String,
}

impl Chat {
    fn new(state: &State, request: ChatRequest) -> Result<Self, ApiError> {
        let most = state.config.max_messages;
        if request.messages.len() > most {
            let message = format!(
                "messages has {} turns, but at most {most} are read",
                request.messages.len()
            );
            return Err(ApiError::invalid(Some("messages"), message));
        }
        let settings = &request.settings;
        let speaker = state.speaker(settings.model.as_deref())?;
        let most_tokens = speaker.stage.engine.max_tokens();
        let mut config = settings.generate_config(&speaker.defaults(), most_tokens)?;
        config.top_logprobs = request.top_logprobs()?;
        let own = settings.apc.unwrap_or_default();
        let number = state.next_request();
        let wanted = Wanted {
            config,
            stops: settings.stop.0.clone(),
            choices: settings.choices(state.config.best_of)?,
            min_delta_apc: own.min_delta_apc.or(state.config.min_delta_apc),
            is_scored: own.score.unwrap_or(true),
            seed: settings.seed.map_or(number, |seed| seed as u64),
        };
        Ok(Self {
            speaker,
            wanted,
            includes_usage: settings.includes_usage(),
            messages: request.messages,
            id: format!("chatcmpl-{}-{number}", state.created),
        })
    }

    /// The prompt. A reply may be as long as the model has room for.
    async fn ready(&mut self, state: &Arc<State>) -> Result<Ready, ApiError> {
        let messages = std::mem::take(&mut self.messages);
        let most = &mut self.wanted.config.max_new_tokens;
        prepare(state, &self.speaker, messages, most).await
    }
}

/// Answers a chat.
pub(super) async fn answer(
    state: Arc<State>,
    admitted: Admitted,
    request: ChatRequest,
) -> Result<Response, ApiError> {
    let is_stream = request.settings.stream.unwrap_or(false);
    let mut chat = Chat::new(&state, request)?;
    let ready = chat.ready(&state).await?;
    if is_stream {
        return Ok(stream(state, admitted, chat, ready));
    }
    let replies = ready
        .replies(&state, &chat.speaker, &chat.wanted, &mut |_| ())
        .await?;
    drop(admitted);
    let completion = replies.iter().map(|reply| reply.tokens).sum();
    let choices = replies
        .into_iter()
        .enumerate()
        .map(|(index, reply)| Choice {
            index,
            logprobs: reply.choice_logprobs(),
            message: ReplyMessage {
                role: "assistant",
                content: reply.text,
                refusal: None,
            },
            finish_reason: reply.finish_reason,
            apc: reply.verdict,
        });
    let response = ChatResponse {
        choices: choices.collect(),
        id: chat.id,
        object: "chat.completion",
        created: chrono::Utc::now().timestamp(),
        model: chat.speaker.id,
        usage: Usage::new(ready.ids.len(), completion),
        system_fingerprint: state.fingerprint.clone(),
    };
    Ok(Json(response).into_response())
}

/// Sends events; fails once the client is gone.
struct Events<'a> {
    to_client: &'a Sender<Event>,
    chat: &'a Chat,
    created: i64,
    fingerprint: &'a str,
}

/// The client is gone.
struct Gone;

impl Events<'_> {
    async fn send(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> Result<(), Gone> {
        let is_last = choices.is_empty();
        let chunk = ChatChunk {
            id: &self.chat.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.chat.speaker.id,
            choices,
            // Null before the last one, and not there where nobody asked.
            usage: (self.chat.includes_usage || is_last).then_some(usage),
            system_fingerprint: self.fingerprint,
        };
        let data = serde_json::to_string(&chunk).unwrap_or_default();
        self.raw(data).await
    }

    async fn raw(&self, data: String) -> Result<(), Gone> {
        let event = Event::default().data(data);
        self.to_client.send(event).await.map_err(|_| Gone)
    }

    async fn delta(
        &self,
        index: usize,
        delta: Delta,
        logprobs: Option<ChoiceLogprobs>,
    ) -> Result<(), Gone> {
        let choice = ChunkChoice {
            index,
            delta,
            logprobs,
            finish_reason: None,
            apc: None,
        };
        self.send(vec![choice], None).await
    }

    async fn content(&self, index: usize, piece: Piece) -> Result<(), Gone> {
        let delta = Delta {
            role: None,
            content: Some(piece.text),
        };
        let logprobs = piece.logprobs.map(|one| ChoiceLogprobs {
            content: vec![one],
            refusal: None,
        });
        self.delta(index, delta, logprobs).await
    }

    /// A reply that is whole already, in pieces.
    async fn whole(&self, index: usize, reply: &Sampled) -> Result<(), Gone> {
        let characters: Vec<char> = reply.text.chars().collect();
        for piece in characters.chunks(PIECE) {
            let piece = Piece {
                text: piece.iter().collect(),
                logprobs: None,
            };
            self.content(index, piece).await?;
        }
        if let Some(logprobs) = reply.choice_logprobs() {
            self.delta(index, Delta::default(), Some(logprobs)).await?;
        }
        Ok(())
    }
}

/// Answers a chat piece by piece. The only reply is told as it grows; several are told once they are judged, the best first.
fn stream(state: Arc<State>, admitted: Admitted, chat: Chat, ready: Ready) -> Response {
    let (to_client, from_here) = channel(16);
    tokio::spawn(async move {
        let limit = state.config.timeout;
        let told = tokio::time::timeout(limit, tell(&state, &chat, &ready, &to_client)).await;
        let error = match told {
            Ok(Ok(())) | Ok(Err(Ended::Gone)) => return,
            Ok(Err(Ended::Failed(error))) => error,
            Err(_) => ApiError::too_late(limit.as_secs()),
        };
        // Whoever reads nothing need not be told, and keeps no place.
        drop(admitted);
        let _ = to_client.try_send(Event::default().data(error.to_event()));
    });
    stream_response(from_here)
}

/// Why a stream ends early.
enum Ended {
    Gone,
    Failed(ApiError),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

async fn tell(
    state: &Arc<State>,
    chat: &Chat,
    ready: &Ready,
    to_client: &Sender<Event>,
) -> Result<(), Ended> {
    let events = Events {
        to_client,
        chat,
        created: chrono::Utc::now().timestamp(),
        fingerprint: &state.fingerprint,
    };
    let [n, _] = chat.wanted.choices;
    for index in 0..n {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(String::new()),
        };
        events.delta(index, delta, None).await?;
    }
    let (sender, mut pieces) = unbounded_channel();
    let mut on_text = move |piece| {
        // The reader ends with this function alone.
        let _ = sender.send(piece);
    };
    let sampling = async move {
        ready
            .replies(state, &chat.speaker, &chat.wanted, &mut on_text)
            .await
    };
    let replies = {
        tokio::pin!(sampling);
        loop {
            tokio::select! {
                biased;
                piece = next(&mut pieces) => events.content(0, piece).await?,
                replies = &mut sampling => break replies.map_err(Ended::Failed)?,
                // A client that went away ends the sampling.
                () = to_client.closed() => return Err(Ended::Gone),
            }
        }
    };
    while let Ok(piece) = pieces.try_recv() {
        events.content(0, piece).await?;
    }
    for (index, reply) in replies.iter().enumerate() {
        if !ready.is_told_live(&chat.wanted) {
            events.whole(index, reply).await?;
        }
        let end = ChunkChoice {
            index,
            delta: Delta::default(),
            logprobs: None,
            finish_reason: Some(reply.finish_reason),
            apc: reply.verdict.clone(),
        };
        events.send(vec![end], None).await?;
    }
    if chat.includes_usage {
        let completion = replies.iter().map(|reply| reply.tokens).sum();
        let usage = Usage::new(ready.ids.len(), completion);
        events.send(Vec::new(), Some(usage)).await?;
    }
    events.raw("[DONE]".to_string()).await?;
    Ok(())
}

/// The next piece; never, once there is none any more.
async fn next(pieces: &mut UnboundedReceiver<Piece>) -> Piece {
    match pieces.recv().await {
        Some(piece) => piece,
        None => std::future::pending().await,
    }
}
