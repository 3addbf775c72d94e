//! `POST /api/records/{id}/decide` and `/restore`: the office decides a difference, or puts an earlier value back.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::record::Value as Answer;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::service::desk::{Choice, Decision, DeskError};

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/records/{id}/decide", post(post_decide))
        .route("/api/records/{id}/restore", post(post_restore))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TownshipQuery {
    pub(super) township: Option<String>,
}

/// A field that is there, even if it is null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Answer>, D::Error> {
    Answer::deserialize(deserializer).map(Some)
}

/// What is decided: `change`, `index` or `value` says which value is to stand.
#[derive(Debug, Deserialize)]
struct Body {
    key: String,
    /// The hash of the change that put the value.
    change: Option<ChangeHash>,
    /// The value's place in the list of those that differ, from 0.
    index: Option<usize>,
    /// The value itself; null clears the answer.
    #[serde(default, deserialize_with = "given")]
    value: Option<Answer>,
    /// The heads that were shown.
    heads: Vec<ChangeHash>,
    #[serde(default)]
    reason: String,
}

impl Body {
    fn decision(self, record: RecordId) -> Result<Decision, ApiError> {
        let choice = match (self.change, self.index, self.value) {
            (Some(change), None, None) => Choice::Of(change),
            (None, Some(index), None) => Choice::Place(index),
            (None, None, Some(value)) => Choice::Value(value),
            _ => return Err(ApiError::bad_request("value")),
        };
        Ok(Decision { record, key: self.key, choice, heads: self.heads, reason: self.reason })
    }
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        let conflict = |code| Self::new(StatusCode::CONFLICT, code);
        let unfit = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code);
        match error {
            DeskError::UnknownRecord => Self::not_found(),
            DeskError::UnknownHeads => conflict("unknown_heads"),
            DeskError::Answered => conflict("answered_meanwhile"),
            DeskError::Elsewhere => conflict("elsewhere"),
            DeskError::NoDifference => conflict("no_difference"),
            DeskError::UnknownValue => unfit("unknown_value"),
            DeskError::Answer => unfit("answer_unfit"),
            DeskError::Unlinkable => unfit("unlinkable"),
            DeskError::Storage(error) => error.into(),
            DeskError::Write(crate::service::office::WriteError::Refused(refused)) => refused.into(),
            DeskError::Write(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the office's change was refused");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

type Asked = Result<Json<Body>, JsonRejection>;

async fn post_decide(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<TownshipQuery>,
    body: Asked,
) -> Result<Json<Value>, ApiError> {
    write(office, app, &headers, (id, query), body, true).await
}

async fn post_restore(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<TownshipQuery>,
    body: Asked,
) -> Result<Json<Value>, ApiError> {
    write(office, app, &headers, (id, query), body, false).await
}

async fn write(
    office: Office,
    app: Arc<App>,
    headers: &HeaderMap,
    (id, query): (String, TownshipQuery),
    body: Asked,
    is_difference: bool,
) -> Result<Json<Value>, ApiError> {
    same_origin(headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let id: RecordId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    let decision = body.decision(id)?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let decided = match is_difference {
            true => shared.desk.decide(office.actor(), township, &decision)?,
            false => shared.desk.restore(office.actor(), township, &decision)?,
        };
        Ok(Json(json!({"written": decided.is_written, "still_differs": decided.still_differs})))
    })
    .await?
}
