//! `POST /api/events`: the office records an event in a household's life. `GET /api/events/waiting`: those that can't be
//! applied yet, with the reason; `POST /api/events/retry` tries them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use doorstep_core::id::RecordId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::quarantine::reason_json;
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::service::life::{EventError, NewEvent};
use crate::service::office::WriteError;
use crate::storage::events::WaitingEvent;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/events", post(post_event))
        .route("/api/events/waiting", get(get_waiting))
        .route("/api/events/retry", post(post_retry))
}

#[derive(Debug, Default, Deserialize)]
struct EventQuery {
    township: Option<String>,
    /// Only events after this one.
    after: Option<String>,
}

async fn get_waiting(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<EventQuery>,
) -> Result<Json<Value>, ApiError> {
    let after = query.after.as_deref().map(str::parse::<RecordId>).transpose();
    let after = after.map_err(|_| ApiError::bad_request("after"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let storage = &shared.service.storage;
        let found = storage.waiting_events(township, after, limits::PAGE_ROWS)?;
        let row = |event: &WaitingEvent| {
            json!({
                "record": event.event,
                "reason": event.reason,
                "message": reason_json(&event.reason),
                "waits_for": event.waits_for,
                "since_ms": event.since_ms,
            })
        };
        Ok(Json(json!({"waiting": found.iter().map(row).collect::<Vec<_>>()})))
    })
    .await?
}

async fn post_retry(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<EventQuery>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let (done, waiting) = shared.service.retry_events(township)?;
        Ok(Json(json!({"done": done, "waiting": waiting})))
    })
    .await?
}

/// An event: the name of its form, the household's record, answers by question.
#[derive(Debug, Deserialize)]
struct EventBody {
    form: String,
    household: String,
    #[serde(default)]
    answers: BTreeMap<String, String>,
}

async fn post_event(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<EventQuery>,
    body: Result<Json<EventBody>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let household = body.household.parse().map_err(|_| ApiError::bad_request("household"))?;
    let new = NewEvent { form: body.form, household, answers: body.answers };
    let shared = app.clone();
    let recorded = app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        Ok::<_, ApiError>(shared.service.record_event(township, &new)?)
    });
    Ok(Json(json!({"record": recorded.await??})))
}

impl From<EventError> for ApiError {
    fn from(error: EventError) -> Self {
        let refused = |answers: Vec<Value>| Self {
            details: json!({"answers": answers}),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "answers_refused")
        };
        match error {
            EventError::Form => Self::bad_request("form"),
            EventError::Household => Self::not_found(),
            EventError::Answers(answers) => {
                let said = |(question, refusal): (String, doorstep_core::form::session::Refusal)| json!({"question": question, "zh": refusal.message("zh"), "en": refusal.message("en")});
                refused(answers.into_iter().map(said).collect())
            }
            EventError::Unfinished(problems) => {
                let said = |problem: doorstep_core::form::session::Problem| {
                    let (zh, en) = (problem.kind.message("zh"), problem.kind.message("en"));
                    json!({"question": problem.path, "zh": zh, "en": en})
                };
                refused(problems.into_iter().map(said).collect())
            }
            EventError::Write(WriteError::Refused(refused)) => refused.into(),
            EventError::Write(WriteError::Elsewhere) => Self::new(StatusCode::CONFLICT, "elsewhere"),
            EventError::Write(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an event could not be written");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}
