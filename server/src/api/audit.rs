//! `/api/audit`: the audit log, newest first, and the whole of it as a file.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::service::audit::export::{Format, row_json};
use crate::service::audit::{Act, Action};
use crate::storage::AuditFilter;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/audit", get(list_audit)).route("/api/audit/export", post(export_audit))
}

/// Which entries are asked; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
struct AuditQuery {
    township: Option<String>,
    action: Option<String>,
    about: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

async fn list_audit(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Value>, ApiError> {
    let without_null = |text: &Option<String>| text.as_ref().is_none_or(|t| !t.contains('\0'));
    if !without_null(&query.action) || !without_null(&query.about) {
        return Err(ApiError::bad_request("about"));
    }
    let shared = app.clone();
    app.blocking(move || {
        let filter = AuditFilter {
            township: Some(township(&shared, query.township.as_deref())?),
            action: query.action,
            subject: query.about,
            before: query.after,
            limit: query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX),
            ..AuditFilter::default()
        };
        let rows = shared.service.storage.audit(&filter)?;
        Ok(Json(json!({"entries": rows.iter().map(row_json).collect::<Vec<_>>()})))
    })
    .await?
}

#[derive(Debug, Default, Deserialize)]
struct ExportQuery {
    #[serde(default)]
    format: Format,
}

/// Streams the log; a reader who is slow holds up its own download only.
async fn export_audit(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Result<Query<ExportQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let Query(ExportQuery { format }) = query.map_err(|_| ApiError::bad_request("format"))?;
    let service = app.service.clone();
    let act = Act::new(Action::Export).with("what", "audit").with("format", format.code());
    app.blocking(move || service.audit(office.actor(), act)).await??;
    let (parts, mut arriving) = mpsc::channel(limits::EXPORT_PARTS);
    let service = app.service.clone();
    // on a thread of its own: it waits for whoever downloads, and workers are few
    std::thread::spawn(move || {
        let mut to = BufWriter::with_capacity(limits::EXPORT_PART, Parts(parts.clone()));
        let done = service.write_audit(format, &mut to).map(|_| ()).and_then(|()| Ok(to.flush()?));
        if let Err(error) = done {
            // the download ends without its end, so that nobody takes it for whole
            tracing::warn!(error = &error as &dyn std::error::Error, "an export ended early");
            let _ = parts.blocking_send(Err(io::Error::other("the export ended early")));
        }
    });
    let body = futures_util::stream::poll_fn(move |context| arriving.poll_recv(context));
    Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"audit.{}\"", format.code()))
        .body(Body::from_stream(body))
        .map_err(|_| ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "internal"))
}

/// Hands what is written to whoever downloads.
struct Parts(mpsc::Sender<io::Result<Bytes>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
