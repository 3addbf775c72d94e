//! `POST /api/records/{id}/masked`: a record's masked answers, for a reason.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use doorstep_core::id::RecordId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::service::masked::MaskedLook;
use crate::service::view::RecordPage;

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/records/{id}/masked", post(look))
}

/// Why.
#[derive(Deserialize)]
struct Look {
    township: Option<String>,
    #[serde(default)]
    reason: String,
}

async fn look(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Json<Look>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(asked) = body.map_err(|_| ApiError::bad_request("body"))?;
    let id: RecordId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, asked.township.as_deref())?;
        let MaskedLook { page, parts } = shared.service.look_at_masked(office.actor(), township, id, &asked.reason)?;
        let own = page.is_masked().then_some(&page);
        let parts: Vec<Value> = parts.iter().chain(own).map(part_json).collect();
        Ok(Json(json!({"record": id, "parts": parts})))
    })
    .await?
}

fn part_json(page: &RecordPage) -> Value {
    let answers: serde_json::Map<String, Value> =
        page.answers.iter().map(|(key, value)| (key.clone(), value.to_json())).collect();
    json!({
        "id": page.row.id,
        "type": page.row.record_type,
        "answers": answers,
        "differences": page.differences,
    })
}
