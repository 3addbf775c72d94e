//! `/api/quarantine`: changes that weren't accepted, released or discarded with a reason.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use doorstep_core::id::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::messages::Language;
use crate::service::audit::REASON_CHARS;
use crate::service::quarantine::{DECIDED_AT_ONCE, Released};
use crate::service::view;
use crate::storage::{Decision, QuarantineFilter};
use crate::web::texts;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/quarantine", get(list_quarantine))
        .route("/api/quarantine/release", post(release))
        .route("/api/quarantine/discard", post(discard))
}

/// Which rows are asked; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
struct QuarantineQuery {
    township: Option<String>,
    state: Option<String>,
    device: Option<String>,
    reason: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

impl QuarantineQuery {
    fn filter(&self) -> Result<QuarantineFilter, ApiError> {
        let decision = match self.state.as_deref() {
            None => Some(Decision::Open),
            Some("all") => None,
            Some(code) => Some(Decision::from_code(code).ok_or_else(|| ApiError::bad_request("state"))?),
        };
        let device = self.device.as_deref().map(str::parse::<DeviceId>).transpose();
        if self.reason.as_ref().is_some_and(|r| r.contains('\0')) {
            return Err(ApiError::bad_request("reason"));
        }
        Ok(QuarantineFilter {
            decision,
            device: device.map_err(|_| ApiError::bad_request("device"))?,
            reason: self.reason.clone(),
            before: self.after,
            limit: self.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX),
        })
    }
}

/// A reason in plain words of both languages.
pub(super) fn reason_json(code: &str) -> Value {
    json!({"zh": texts::reason(code, Language::Zh), "en": texts::reason(code, Language::En)})
}

async fn list_quarantine(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<QuarantineQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let rows = shared.service.storage.quarantine_list(township, &query.filter()?)?;
        let names = view::people(&shared.service, township)?;
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "no": row.no,
                    "record": row.change.record,
                    "type": row.change.identity.record_type,
                    "change": row.change.hash,
                    "reason": row.change.reason,
                    "message": reason_json(&row.change.reason),
                    "device": row.device,
                    "by": names.device_user(row.device),
                    "bytes": row.change.bytes.len(),
                    "received_ms": row.received_ms,
                    "state": row.decision.code(),
                    "decided_ms": if row.decided_ms == 0 { Value::Null } else { json!(row.decided_ms) },
                })
            })
            .collect();
        Ok(Json(json!({"quarantine": rows})))
    })
    .await?
}

/// What came of each change; also what those that can't be released lack.
pub(super) fn released_json(released: &[Released]) -> Value {
    let row = |r: &Released| match &r.refused {
        None => json!({"no": r.no, "released": true}),
        Some(code) => json!({"no": r.no, "released": false, "reason": code, "message": reason_json(code)}),
    };
    json!({"changes": released.iter().map(row).collect::<Vec<_>>()})
}

/// What is decided about which changes.
#[derive(Deserialize)]
struct Decide {
    township: Option<String>,
    numbers: Vec<u64>,
    reason: String,
}

impl Decide {
    fn read(headers: &HeaderMap, body: Result<Json<Self>, JsonRejection>) -> Result<Self, ApiError> {
        same_origin(headers)?;
        let Json(asked) = body.map_err(|_| ApiError::bad_request("body"))?;
        if asked.numbers.is_empty() || asked.numbers.len() > DECIDED_AT_ONCE {
            return Err(ApiError::bad_request("numbers"));
        }
        let reason = asked.reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS {
            return Err(ApiError::reason_needed());
        }
        Ok(asked)
    }
}

async fn release(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Json<Decide>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let asked = Decide::read(&headers, body)?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, asked.township.as_deref())?;
        let released = shared.service.release(office.actor(), township, &asked.numbers, &asked.reason)?;
        Ok(Json(released_json(&released)))
    })
    .await?
}

async fn discard(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Json<Decide>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let asked = Decide::read(&headers, body)?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, asked.township.as_deref())?;
        let discarded = shared.service.discard(office.actor(), township, &asked.numbers, &asked.reason)?;
        Ok(Json(json!({"discarded": discarded})))
    })
    .await?
}
