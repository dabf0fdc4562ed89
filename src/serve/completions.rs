//! `POST /v1/completions`: a text goes on, without a template and without statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc::{channel, unbounded_channel};

use super::api::{
    CompletionRequest, CompletionResponse, ContentLogprob, FlatLogprobs, TextChoice, Usage,
};
use super::error::ApiError;
use super::replies::{Piece, Sampled, Wanted, encoded};
use super::routes::{Admitted, stream_response};
use super::state::State;

/// The most prompts of one request.
const MOST_PROMPTS: usize = 16;

pub(super) async fn answer(
    state: Arc<State>,
    admitted: Admitted,
    request: CompletionRequest,
) -> Result<Response, ApiError> {
    let settings = &request.settings;
    let speaker = state.speaker(settings.model.as_deref())?;
    let engine = &speaker.stage.engine;
    let mut config = settings.generate_config(&speaker.defaults(), engine.max_tokens())?;
    config.top_logprobs = request.top_logprobs()?;
    let number = state.next_request();
    let [n, _] = settings.choices(1)?;
    let mut wanted = Wanted {
        config,
        stops: settings.stop.0.clone(),
        choices: [n, n],
        min_delta_apc: None,
        is_scored: false,
        seed: settings.seed.map_or(number, |seed| seed as u64),
    };
    let echoes = request.echo.unwrap_or(false);
    let is_stream = settings.stream.unwrap_or(false);
    let includes_usage = settings.includes_usage();
    let prompts = request.prompt.clone().all();
    if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
        let message = format!(
            "prompt has {} texts, but must have from 1 to {MOST_PROMPTS}",
            prompts.len()
        );
        return Err(ApiError::invalid(Some("prompt"), message));
    }
    let ready = prompts
        .iter()
        .map(|prompt| encoded(engine, prompt))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let response = |choices, usage| CompletionResponse {
        id: format!("cmpl-{}-{number}", state.created),
        object: "text_completion",
        created: chrono::Utc::now().timestamp(),
        model: speaker.id.clone(),
        choices,
        usage,
        system_fingerprint: state.fingerprint.clone(),
    };
    let rooms = ready
        .iter()
        .map(|ready| ready.room(engine, wanted.config.max_new_tokens));
    wanted.config.max_new_tokens = rooms.min().unwrap_or(0);
    let n_prompt: usize = ready.iter().map(|ready| ready.ids.len()).sum();
    if !is_stream {
        let (mut choices, mut n_completion) = (Vec::new(), 0);
        for (prompt, ready) in prompts.iter().zip(&ready) {
            let replies = ready
                .replies(&state, &speaker, &wanted, &mut |_| ())
                .await?;
            for reply in replies {
                n_completion += reply.tokens;
                let front = if echoes { prompt.as_str() } else { "" };
                choices.push(choice(choices.len(), front, reply));
            }
        }
        drop(admitted);
        let usage = Usage::new(n_prompt, n_completion);
        return Ok(Json(response(choices, Some(usage))).into_response());
    }
    if prompts.len() > 1 || n > 1 {
        let message = "a stream has one prompt and n 1 here; ask for several without stream";
        return Err(ApiError::invalid(Some("stream"), message));
    }
    let (to_client, from_here) = channel(16);
    let chunk = {
        let (id, model) = (
            format!("cmpl-{}-{number}", state.created),
            speaker.id.clone(),
        );
        let fingerprint = state.fingerprint.clone();
        move |choices, usage| {
            let chunk = CompletionResponse {
                id: id.clone(),
                object: "text_completion",
                created: chrono::Utc::now().timestamp(),
                model: model.clone(),
                choices,
                usage,
                system_fingerprint: fingerprint.clone(),
            };
            Event::default().data(serde_json::to_string(&chunk).unwrap_or_default())
        }
    };
    let speaker = speaker.clone();
    let front = if echoes {
        prompts.concat()
    } else {
        String::new()
    };
    tokio::spawn(async move {
        let (sender, mut pieces) = unbounded_channel::<Piece>();
        let mut on_text = move |piece| {
            let _ = sender.send(piece);
        };
        let said = |text: String, logprobs: Option<FlatLogprobs>| TextChoice {
            index: 0,
            text,
            logprobs,
            finish_reason: None,
        };
        let limit = state.config.timeout;
        let mut offset = front.chars().count();
        let telling = async {
            if !front.is_empty() {
                to_client
                    .send(chunk(vec![said(front, None)], None))
                    .await
                    .ok()?;
            }
            let sampling = ready[0].replies(&state, &speaker, &wanted, &mut on_text);
            tokio::pin!(sampling);
            let replies = loop {
                tokio::select! {
                    biased;
                    Some(piece) = pieces.recv() => {
                        let logprobs = piece.logprobs.map(|one| flat(&[one], offset));
                        offset += piece.text.chars().count();
                        let choice = said(piece.text, logprobs);
                        to_client.send(chunk(vec![choice], None)).await.ok()?;
                    }
                    replies = &mut sampling => break replies,
                    () = to_client.closed() => return None,
                }
            };
            while let Ok(piece) = pieces.try_recv() {
                let choice = said(piece.text, piece.logprobs.map(|one| flat(&[one], offset)));
                to_client.send(chunk(vec![choice], None)).await.ok()?;
            }
            let reply = match replies {
                Ok(replies) => replies.into_iter().next()?,
                Err(error) => return Some(Err(error)),
            };
            let end = TextChoice {
                finish_reason: Some(reply.finish_reason),
                ..said(String::new(), None)
            };
            to_client.send(chunk(vec![end], None)).await.ok()?;
            if includes_usage {
                let usage = Usage::new(n_prompt, reply.tokens);
                to_client.send(chunk(Vec::new(), Some(usage))).await.ok()?;
            }
            to_client.send(Event::default().data("[DONE]")).await.ok()?;
            Some(Ok(()))
        };
        let error = match tokio::time::timeout(limit, telling).await {
            Ok(None | Some(Ok(()))) => return,
            Ok(Some(Err(error))) => error,
            Err(_) => ApiError::too_late(limit.as_secs()),
        };
        drop(admitted);
        let _ = to_client.try_send(Event::default().data(error.to_event()));
    });
    Ok(stream_response(from_here))
}

fn choice(index: usize, front: &str, reply: Sampled) -> TextChoice {
    TextChoice {
        index,
        text: format!("{front}{}", reply.text),
        logprobs: reply
            .logprobs
            .as_deref()
            .map(|content| flat(content, front.chars().count())),
        finish_reason: Some(reply.finish_reason),
    }
}

/// - offset: characters in front of the first token
fn flat(content: &[ContentLogprob], mut offset: usize) -> FlatLogprobs {
    let mut flat = FlatLogprobs::default();
    for one in content {
        flat.text_offset.push(offset);
        offset += one.token.token.chars().count();
        flat.tokens.push(one.token.token.clone());
        flat.token_logprobs.push(one.token.logprob);
        let top = one.top_logprobs.iter();
        let top: BTreeMap<String, f32> = top.map(|top| (top.token.clone(), top.logprob)).collect();
        flat.top_logprobs.push(top);
    }
    flat
}
