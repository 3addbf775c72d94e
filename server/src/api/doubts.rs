//! `GET /api/doubts`: doubtful answers, without their values.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use doorstep_core::form::Sensitivity;
use doorstep_core::form::session::Doubt;
use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::Office;
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::service::view::{self, People};
use crate::storage::{DoubtFilter, DoubtRow};

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/doubts", get(list_doubts))
}

/// Which entries are asked; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
struct DoubtsQuery {
    township: Option<String>,
    area: Option<String>,
    form: Option<String>,
    /// Without the repeat instances, as `member/age`.
    question: Option<String>,
    kind: Option<String>,
    record: Option<String>,
    /// `closed` for those that a later change dealt with.
    state: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

impl DoubtsQuery {
    fn filter(&self) -> Result<DoubtFilter, ApiError> {
        Ok(DoubtFilter {
            area: parsed::<AreaId>(self.area.as_deref(), "area")?,
            form: self.form.clone(),
            question: self.question.clone(),
            kind: parsed::<Doubt>(self.kind.as_deref(), "kind")?,
            record: parsed::<RecordId>(self.record.as_deref(), "record")?,
            closed: match self.state.as_deref() {
                None | Some("open") => false,
                Some("closed") => true,
                Some(_) => return Err(ApiError::bad_request("state")),
            },
            before: self.after,
            limit: self.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX),
        })
    }
}

fn parsed<T: std::str::FromStr>(text: Option<&str>, name: &'static str) -> Result<Option<T>, ApiError> {
    text.map(str::parse).transpose().map_err(|_| ApiError::bad_request(name))
}

/// An entry; of one whose class is hidden, not which question it is about.
fn row_json(row: &DoubtRow, names: &People) -> Value {
    let masked = row.doubt.class != Sensitivity::Core;
    let change = row.change.map(|(claimed_s, received_ms, device)| {
        json!({
            "seq": row.seq, "claimed_s": claimed_s, "received_ms": received_ms, "device": device,
            "by": device.map(|device| names.device_user(device)),
        })
    });
    json!({
        "no": row.no,
        "record": row.record,
        "type": row.record_type,
        "area": row.area,
        "subject": row.subject,
        "form": row.doubt.form.to_string(),
        "key": (!masked).then_some(&row.doubt.key),
        "kind": row.doubt.kind.as_str(),
        "class": row.doubt.class.as_str(),
        "masked": masked,
        "opened_ms": row.opened_ms,
        "closed_ms": row.closed_ms,
        "change": change,
    })
}

async fn list_doubts(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<DoubtsQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let filter = query.filter()?;
        let township = township(&shared, query.township.as_deref())?;
        let found = shared.service.storage.doubts(township, &filter)?;
        let names = view::people(&shared.service, township)?;
        let next = (found.len() as u32 >= filter.limit).then(|| found.last().map(|r| r.no)).flatten();
        // asked by a question, a hidden one doesn't show
        let shown = found.iter().filter(|r| filter.question.is_none() || r.doubt.class == Sensitivity::Core);
        let rows: Vec<Value> = shown.map(|row| row_json(row, &names)).collect();
        Ok(Json(json!({"doubts": rows, "next": next})))
    })
    .await?
}
