//! `GET /api/quarantine/uploads`: uploads that were refused as a whole, with the reason; and the bytes of one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use doorstep_core::protocol::refusal_text;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::Office;
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::service::audit::{Act, Action};
use crate::service::view::{self, People};
use crate::storage::RefusedUploadRow;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/quarantine/uploads", get(list_uploads))
        .route("/api/quarantine/uploads/{no}", get(get_bytes))
}

/// Which rows are asked; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
struct UploadQuery {
    township: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

fn row_json(row: &RefusedUploadRow, names: &People) -> Value {
    let text = refusal_text(&row.reason);
    json!({
        "no": row.no,
        "reason": row.reason,
        "message": {"zh": text.what.zh, "en": text.what.en},
        "advice": {"zh": text.advice.zh, "en": text.advice.en},
        "device": row.device,
        "by": names.device_user(row.device),
        "branch": row.branch,
        "number": row.number,
        "digest": HEXLOWER.encode(&row.digest),
        "bytes": row.size,
        "kept": row.kept,
        "times": row.times,
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
    })
}

async fn list_uploads(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<UploadQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX);
        let rows = shared.service.storage.refused_uploads(township, query.after, limit)?;
        let names = view::people(&shared.service, township)?;
        Ok(Json(json!({"uploads": rows.iter().map(|row| row_json(row, &names)).collect::<Vec<_>>()})))
    })
    .await?
}

async fn get_bytes(
    office: Office,
    State(app): State<Arc<App>>,
    Path(no): Path<u64>,
    Query(query): Query<UploadQuery>,
) -> Result<Response, ApiError> {
    let shared = app.clone();
    let bytes = app
        .blocking(move || {
            let township = township(&shared, query.township.as_deref())?;
            let bytes = shared.service.storage.refused_upload_bytes(township, no)?.ok_or_else(ApiError::not_found)?;
            let act = Act::new(Action::Export).in_township(township).about("upload", no);
            shared.service.audit(office.actor(), act)?;
            Ok::<_, ApiError>(bytes)
        })
        .await??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"upload-{no}.bin\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}
