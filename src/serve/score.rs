//! `POST /v1/score`: how faithful replies are that anyone wrote.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::api::{ScoreRequest, ScoreResponse};
use super::error::ApiError;
use super::replies::judged;
use super::state::State;
use crate::persona::Conversation;
use crate::progress::Job;

pub(super) async fn answer(
    state: &Arc<State>,
    request: ScoreRequest,
) -> Result<Response, ApiError> {
    let speaker = state.speaker(request.model.as_deref())?;
    let Some(role) = speaker.role else {
        let message = "the plain model has no statements to score by; name a character";
        return Err(ApiError::invalid(Some("model"), message));
    };
    let conversation = match (request.query, request.messages) {
        (Some(query), messages) if messages.is_empty() => Conversation::asked(query),
        (None, messages) if !messages.is_empty() => Conversation::from_messages(&messages)?,
        _ => {
            let message = "give either query or messages: what the responses reply to";
            return Err(ApiError::invalid(Some("query"), message));
        }
    };
    let responses = request.response.all();
    if responses.is_empty() || responses.len() > super::api::MOST_CHOICES {
        let most = super::api::MOST_CHOICES;
        let message = format!(
            "response has {} texts, but must have from 1 to {most}",
            responses.len()
        );
        return Err(ApiError::invalid(Some("response"), message));
    }
    let scores = judged(state, move || {
        let responses: Vec<&str> = responses.iter().map(String::as_str).collect();
        role.score_turn(&conversation, &responses, &Job::default())
    })
    .await?;
    let response = ScoreResponse {
        object: "apc.scores",
        model: speaker.id,
        scores,
    };
    Ok(Json(response).into_response())
}
