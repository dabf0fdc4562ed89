//! `POST /v1/score`: how faithful replies are that anyone wrote.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::replies::judged;
use super::requests::ScoreRequest;
use super::responses::{ScoreResponse, Scored};
use super::state::State;
use crate::persona::Conversation;
use crate::progress::Job;

/// The longest text that is judged, in bytes; judges read far less.
const LONGEST: usize = 64 << 10;

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
    if responses.is_empty() || responses.len() > super::settings::MOST_CHOICES {
        let most = super::settings::MOST_CHOICES;
        let message = format!(
            "response has {} texts, but must have from 1 to {most}",
            responses.len()
        );
        return Err(ApiError::invalid(Some("response"), message));
    }
    let said = conversation.exchanges.iter();
    let said = said.flat_map(|exchange| [&exchange.query, &exchange.response]);
    let texts = said.chain([&conversation.query]).chain(&responses);
    let longest = texts.map(String::len).max().unwrap_or(0);
    if longest > LONGEST {
        let message = format!(
            "a text of {longest} bytes is too long; a query or a response may have {LONGEST}"
        );
        return Err(ApiError::invalid(None, message));
    }
    let scores = judged(state, false, move || {
        let responses: Vec<&str> = responses.iter().map(String::as_str).collect();
        let job = Job::default();
        let scores = role.score_turn(&conversation, &responses, &job)?;
        let told = role.told_in(&conversation);
        let established = role.established(&told, &responses, &job)?;
        let scores = scores.into_iter().zip(established);
        let scored = scores.map(|(score, established)| Scored { score, established });
        Ok(scored.collect())
    })
    .await?;
    let response = ScoreResponse {
        object: "apc.scores",
        model: speaker.id,
        scores,
    };
    Ok(Json(response).into_response())
}
