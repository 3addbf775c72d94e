//! `POST /api/events`: the office records an event in a household's life.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::service::life::{EventError, NewEvent};
use crate::service::office::WriteError;

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/events", post(post_event))
}

#[derive(Debug, Default, Deserialize)]
struct EventQuery {
    township: Option<String>,
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
            EventError::Write(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an event could not be written");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}
