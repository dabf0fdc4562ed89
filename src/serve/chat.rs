//! `POST /v1/chat/completions`, in one piece or as a stream.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::live::{Ended, Live, ToClient, stream};
use super::replies::{Piece, Ready, Sampled, Wanted, prepare};
use super::requests::ChatRequest;
use super::responses::{
    ChatChunk, ChatResponse, Choice, ChoiceLogprobs, ChunkChoice, Delta, ReplyMessage, Usage,
};
use super::routes::Admitted;
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
        request.check()?;
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
            seed: settings.seed().unwrap_or(number),
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
        return Ok(stream(state, admitted, async move |state, to_client| {
            tell(&state, &chat, &ready, &to_client).await
        }));
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

/// A chat that is told in events.
struct Events<'a> {
    to_client: &'a ToClient,
    chat: &'a Chat,
    created: i64,
    fingerprint: &'a str,
}

impl Events<'_> {
    async fn send(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> Result<(), Ended> {
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
        self.to_client.send(data).await
    }

    async fn delta(
        &self,
        index: usize,
        delta: Delta,
        logprobs: Option<ChoiceLogprobs>,
    ) -> Result<(), Ended> {
        let choice = ChunkChoice {
            index,
            delta,
            logprobs,
            finish_reason: None,
            apc: None,
        };
        self.send(vec![choice], None).await
    }

    async fn content(&self, index: usize, piece: Piece) -> Result<(), Ended> {
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
    async fn whole(&self, index: usize, reply: &Sampled) -> Result<(), Ended> {
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

/// Tells a chat piece by piece. The only reply is told as it grows; several are told once they are judged, the best first.
async fn tell(
    state: &Arc<State>,
    chat: &Chat,
    ready: &Ready,
    to_client: &ToClient,
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
    let mut live = Live::new(state, ready, &chat.speaker, &chat.wanted, to_client);
    while let Some(piece) = live.next().await? {
        events.content(0, piece).await?;
    }
    let replies = live.into_replies();
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
    to_client.send("[DONE]".to_string()).await
}
