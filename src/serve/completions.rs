//! `POST /v1/completions`: a text goes on, without a template and without statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::live::{Ended, Live, ToClient, stream};
use super::replies::{Ready, Sampled, Wanted, encoded, of_ids};
use super::requests::{CompletionPrompt, CompletionRequest};
use super::responses::{CompletionResponse, ContentLogprob, FlatLogprobs, TextChoice, Usage};
use super::routes::Admitted;
use super::state::{Speaker, State};
use crate::text::Engine;

/// The most prompts of one request.
const MOST_PROMPTS: usize = 16;

/// What tells the answers of a request, whole or in chunks.
struct Answers {
    id: String,
    speaker: Speaker,
    fingerprint: String,
}

impl Answers {
    fn response(&self, choices: Vec<TextChoice>, usage: Option<Usage>) -> CompletionResponse {
        CompletionResponse {
            id: self.id.clone(),
            object: "text_completion",
            created: chrono::Utc::now().timestamp(),
            model: self.speaker.id.clone(),
            choices,
            usage,
            system_fingerprint: self.fingerprint.clone(),
        }
    }

    fn chunk(&self, choices: Vec<TextChoice>, usage: Option<Usage>) -> String {
        serde_json::to_string(&self.response(choices, usage)).unwrap_or_default()
    }
}

pub(super) async fn answer(
    state: Arc<State>,
    admitted: Admitted,
    request: CompletionRequest,
) -> Result<Response, ApiError> {
    request.check()?;
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
        seed: settings.seed().unwrap_or(number),
    };
    let echoes = request.echo.unwrap_or(false);
    let includes_usage = settings.includes_usage();
    let prompts = request.prompts();
    if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
        let message = format!(
            "prompt has {} texts, but must have from 1 to {MOST_PROMPTS}",
            prompts.len()
        );
        return Err(ApiError::invalid(Some("prompt"), message));
    }
    let is_stream = settings.stream.unwrap_or(false);
    if is_stream && (prompts.len() > 1 || n > 1) {
        let message = "a stream has one prompt and n 1 here; ask for several without stream";
        return Err(ApiError::invalid(Some("stream"), message));
    }
    let mut ready = Vec::with_capacity(prompts.len());
    let mut fronts = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let (one, text) = match prompt {
            CompletionPrompt::Text(text) => (encoded(engine, &text)?, text),
            CompletionPrompt::Ids(ids) => with_text(engine, ids)?,
        };
        ready.push(one);
        fronts.push(if echoes { text } else { String::new() });
    }
    let rooms = ready
        .iter()
        .map(|ready| ready.room(engine, wanted.config.max_new_tokens));
    wanted.config.max_new_tokens = rooms.min().unwrap_or(0);
    let n_prompt: usize = ready.iter().map(|ready| ready.ids.len()).sum();
    let answers = Answers {
        id: format!("cmpl-{}-{number}", state.created),
        speaker,
        fingerprint: state.fingerprint.clone(),
    };
    if is_stream {
        return Ok(stream(state, admitted, async move |state, to_client| {
            let (ready, front) = (&ready[0], &fronts[0]);
            let usage = includes_usage.then_some(n_prompt);
            tell(&state, &answers, ready, &wanted, front, usage, &to_client).await
        }));
    }
    let (mut choices, mut n_completion) = (Vec::new(), 0);
    for (front, ready) in fronts.iter().zip(&ready) {
        let replies = ready
            .replies(&state, &answers.speaker, &wanted, &mut |_| ())
            .await?;
        for reply in replies {
            n_completion += reply.tokens;
            choices.push(choice(choices.len(), front, reply));
        }
    }
    drop(admitted);
    let usage = Usage::new(n_prompt, n_completion);
    Ok(Json(answers.response(choices, Some(usage))).into_response())
}

/// A prompt that came as ids, and its text.
fn with_text(engine: &Engine, ids: Vec<i32>) -> Result<(Ready, String), ApiError> {
    let tokenizer = engine.tokenizer();
    if let Some(id) = ids.iter().find(|id| tokenizer.token(**id).is_none()) {
        let message = format!("prompt has the id {id}, which is no token of this model");
        return Err(ApiError::invalid(Some("prompt"), message));
    }
    let text = tokenizer.decode(&ids)?;
    Ok((of_ids(engine, ids)?, text))
}

/// Tells the only reply as it grows.
///
/// - front: what is told before it
/// - usage: the tokens of the prompt, if usage is told
async fn tell(
    state: &Arc<State>,
    answers: &Answers,
    ready: &Ready,
    wanted: &Wanted,
    front: &str,
    usage: Option<usize>,
    to_client: &ToClient,
) -> Result<(), Ended> {
    let said = |text: String, logprobs: Option<FlatLogprobs>| TextChoice {
        index: 0,
        text,
        logprobs,
        finish_reason: None,
    };
    let mut offset = front.chars().count();
    if !front.is_empty() {
        let choice = said(front.to_string(), None);
        to_client.send(answers.chunk(vec![choice], None)).await?;
    }
    let mut live = Live::new(state, ready, &answers.speaker, wanted, to_client);
    while let Some(piece) = live.next().await? {
        let logprobs = piece.logprobs.map(|one| flat(&[one], offset));
        offset += piece.text.chars().count();
        let choice = said(piece.text, logprobs);
        to_client.send(answers.chunk(vec![choice], None)).await?;
    }
    for reply in live.into_replies() {
        let end = TextChoice {
            finish_reason: Some(reply.finish_reason),
            ..said(String::new(), None)
        };
        to_client.send(answers.chunk(vec![end], None)).await?;
        if let Some(n_prompt) = usage {
            let usage = Usage::new(n_prompt, reply.tokens);
            to_client
                .send(answers.chunk(Vec::new(), Some(usage)))
                .await?;
        }
    }
    to_client.send("[DONE]".to_string()).await
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
