//! `/v1/characters`: who they are, and how they are changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::error::{ApiError, without_paths};
use super::requests::parse;
use super::responses::List;
use super::routes::{Admitted, Id, answered};
use super::state::{Loaded, State};
use super::workshop::{NotBegun, Training, TrainingState, Workshop};
use crate::pipeline::{Compared, TrainSummary, is_too_long};
use crate::{Error, Result};

/// The most statements of a character.
const MOST_STATEMENTS: usize = 2000;

/// A character that the server speaks for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CharacterInfo {
    id: String,
    object: &'static str,
    statements: Vec<String>,
    /// What it says first, if anything.
    greeting: String,
    /// Whether an adapter was trained for it.
    trained: bool,
    /// Whether the adapter was trained on other statements.
    stale: bool,
    editable: bool,
    /// Why it is not.
    locked: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Statements {
    statements: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Finding {
    statement: usize,
    message: String,
}

#[derive(Debug, Serialize)]
struct Lint {
    object: &'static str,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Difference {
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Debug, Serialize)]
struct Summary {
    statements: usize,
    queries: usize,
    delta_apc_before: f64,
    delta_apc_after: f64,
    difference: Difference,
}

impl From<TrainSummary> for Summary {
    fn from(summary: TrainSummary) -> Self {
        let evaluation = summary.evaluation;
        Self {
            statements: summary.statements,
            queries: evaluation.queries,
            delta_apc_before: evaluation.before,
            delta_apc_after: evaluation.after,
            difference: Difference {
                mean: evaluation.difference,
                low: evaluation.interval.low,
                high: evaluation.interval.high,
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct ReportResponse {
    object: &'static str,
    stale: bool,
    summary: Option<Summary>,
    queries: Vec<Compared>,
}

/// Runs what reads or writes files on a thread of its own.
async fn on_disk<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let done = spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(Error::Fault(error.to_string())));
    done.map_err(|error| {
        state.log(&error);
        error.into()
    })
}

/// Why a character cannot be changed, if it cannot.
fn locked(state: &State, name: &str) -> Option<String> {
    match &state.workshop {
        _ if !state.config.may_change => {
            let reason = "only a server that is reached from its own machine alone, or has a key, lets characters be changed";
            Some(reason.to_string())
        }
        None => Some("this server does not know where the character is kept".to_string()),
        Some(workshop) => workshop.locked(name),
    }
}

/// The workshop, if the character may be changed.
fn workshop(state: &State, name: &str) -> Result<Arc<dyn Workshop>, ApiError> {
    match (locked(state, name), &state.workshop) {
        (None, Some(workshop)) => Ok(workshop.clone()),
        (reason, _) => Err(ApiError::locked(reason.unwrap_or_default())),
    }
}

fn is_stale(state: &State, character: &Loaded) -> bool {
    let name = &character.role.persona().name;
    let workshop = state.workshop.as_ref().filter(|_| character.voice > 0);
    workshop.is_some_and(|workshop| {
        workshop.is_stale(name).unwrap_or_else(|error| {
            state.log(&error);
            false
        })
    })
}

fn info(state: &State, character: &Loaded) -> CharacterInfo {
    let persona = character.role.persona();
    let locked = locked(state, &persona.name);
    CharacterInfo {
        id: persona.name.clone(),
        object: "character",
        statements: persona.statements.clone(),
        greeting: character
            .opening
            .greetings
            .first()
            .cloned()
            .unwrap_or_default(),
        trained: character.voice > 0,
        stale: is_stale(state, character),
        editable: locked.is_none(),
        locked,
    }
}

pub(super) async fn all(Shared(state): Shared<Arc<State>>) -> Result<Response, ApiError> {
    let _admitted = Admitted::new(&state)?;
    let own = state.clone();
    let infos = on_disk(&state, move || {
        let characters = own.characters();
        Ok(characters.iter().map(|one| info(&own, one)).collect())
    });
    Ok(Json(List::<CharacterInfo>::new(infos.await?)).into_response())
}

async fn told(state: &Arc<State>, name: &str) -> Result<Response, ApiError> {
    let (own, character) = (state.clone(), state.character(name)?);
    let info = on_disk(state, move || Ok(info(&own, &character)));
    Ok(Json(info.await?).into_response())
}

pub(super) async fn one(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let _admitted = Admitted::new(&state)?;
    told(&state, &id).await
}

/// Statements that can be used, or which of them cannot and why.
fn checked(statements: Vec<String>) -> Result<Vec<String>, ApiError> {
    let n_statements = statements.len();
    if !(2..=MOST_STATEMENTS).contains(&n_statements) {
        let message = format!(
            "statements has {n_statements} of them, but must have from 2 to {MOST_STATEMENTS}"
        );
        return Err(ApiError::invalid(Some("statements"), message));
    }
    let mut known = std::collections::HashMap::new();
    let mut checked = Vec::with_capacity(n_statements);
    for (idx, statement) in statements.iter().enumerate() {
        let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let other = known.insert(text.clone(), idx);
        let length = text.chars().count();
        let fault = match other {
            _ if text.is_empty() => "is empty; write a sentence, or take it out".to_string(),
            Some(other) => format!(
                "says the same as statement {}; take one of them out",
                other + 1
            ),
            None if is_too_long(&text) => format!(
                "has {length} characters, which is more than a judge reads with a reply; make shorter sentences of it"
            ),
            None => {
                checked.push(text);
                continue;
            }
        };
        let message = format!("statement {} {fault}", idx + 1);
        return Err(ApiError::invalid_at(format!("statements[{idx}]"), message));
    }
    Ok(checked)
}

pub(super) async fn restate(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
    request: Request,
) -> Response {
    let answer = async |_admitted, bytes: Vec<u8>| {
        let character = state.character(&id)?;
        let name = character.role.persona().name.clone();
        let workshop = workshop(&state, &name)?;
        if state.bench.told(&name).state == TrainingState::Running {
            return Err(ApiError::conflict(being_trained(&name)));
        }
        let statements = checked(parse::<Statements>(&bytes)?.statements)?;
        let own = state.clone();
        let changed = on_disk(&state, move || {
            own.restate(&*workshop, &character, statements)
        });
        changed.await?;
        told(&state, &id).await
    };
    answered(&state, request, answer).await
}

pub(super) async fn lint(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
    request: Request,
) -> Response {
    let answer = async |_admitted, bytes: Vec<u8>| {
        let name = state.character(&id)?.role.persona().name.clone();
        let statements = parse::<Statements>(&bytes)?.statements;
        if statements.len() > MOST_STATEMENTS {
            let message = format!("statements has more than {MOST_STATEMENTS} of them");
            return Err(ApiError::invalid(Some("statements"), message));
        }
        let Some(workshop) = state.workshop.clone() else {
            let message = "this server cannot check statements".to_string();
            return Err(ApiError::locked(message));
        };
        let findings = on_disk(&state, move || {
            let of = |(statement, text): (usize, &String)| {
                let message = workshop.fault(&name, text)?;
                Some(Finding { statement, message })
            };
            Ok(statements.iter().enumerate().filter_map(of).collect())
        });
        let lint = Lint {
            object: "lint",
            findings: findings.await?,
        };
        Ok(Json(lint).into_response())
    };
    answered(&state, request, answer).await
}

pub(super) async fn report(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let _admitted = Admitted::new(&state)?;
    let character = state.character(&id)?;
    let own = state.clone();
    let report = on_disk(&state, move || {
        let name = &character.role.persona().name;
        let workshop = own.workshop.as_ref();
        let report = workshop.map(|workshop| workshop.report(name)).transpose()?;
        let report = report.unwrap_or_default();
        Ok(ReportResponse {
            object: "report",
            stale: is_stale(&own, &character),
            summary: report.summary.map(Summary::from),
            queries: report.queries,
        })
    });
    Ok(Json(report.await?).into_response())
}

fn being_trained(name: &str) -> String {
    format!("a training of {name} is running; stop it, or wait for its end")
}

/// A training as clients are told of it: without paths of this machine.
fn shown(mut training: Training) -> Training {
    for text in training.notes.iter_mut().chain(&mut training.message) {
        *text = without_paths(text);
    }
    training
}

pub(super) async fn train(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let name = state.character(&id)?.role.persona().name.clone();
    let workshop = workshop(&state, &name)?;
    let (own, who) = (state.clone(), name.clone());
    let begun = state.bench.begin(&name, move |job| {
        let trained = workshop.train(&who, job);
        let trained = trained.and_then(|()| own.recast(&*workshop, &who, &job.quiet()));
        if let Err(error) = &trained
            && !matches!(error, Error::Interrupted)
        {
            own.log(error);
        }
        trained
    });
    match begun {
        Ok(training) => Ok((StatusCode::ACCEPTED, Json(shown(training))).into_response()),
        Err(NotBegun::Running(other)) => Err(ApiError::conflict(being_trained(&other))),
        Err(NotBegun::Failed(error)) => {
            state.log(&error);
            Err(error.into())
        }
    }
}

pub(super) async fn training(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
) -> Result<Json<Training>, ApiError> {
    let character = state.character(&id)?;
    Ok(Json(shown(
        state.bench.told(&character.role.persona().name),
    )))
}

pub(super) async fn stop_training(
    Shared(state): Shared<Arc<State>>,
    Id(id): Id,
) -> Result<Json<Training>, ApiError> {
    let name = state.character(&id)?.role.persona().name.clone();
    workshop(&state, &name)?;
    Ok(Json(shown(state.bench.stop(&name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_tidied_and_the_first_that_cannot_be_used_is_named() {
        let of = |texts: &[&str]| checked(texts.iter().map(ToString::to_string).collect());
        let tidy = of(&["  Mira\n sings. ", "Mira swims."]).unwrap();
        assert_eq!(tidy, ["Mira sings.", "Mira swims."]);
        let long = "a".repeat(1601);
        for (texts, place, told) in [
            (&["Mira sings."][..], "statements", "from 2 to"),
            (&["Mira sings.", " "], "statements[1]", "is empty"),
            (
                &["Mira sings.", "Mira swims.", "Mira  sings."],
                "statements[2]",
                "as statement 1",
            ),
            (&["Mira sings.", &long], "statements[1]", "shorter"),
        ] {
            let error = of(texts).unwrap_err().to_event();
            assert!(error.contains(&format!("\"param\":\"{place}\"")), "{error}");
            assert!(error.contains(told), "{error}");
        }
    }
}
