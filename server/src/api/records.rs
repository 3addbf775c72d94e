//! `GET /api/...`: merged records with their differences and history, for programs of the office.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use doorstep_core::id::{AreaId, RecordId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::ApiError;
use super::office::Office;
use crate::app::App;
use crate::limits;
use crate::service::differences::{DifferenceFilter, DifferingRecord};
use crate::service::view::{self, AsOf, RecordPage};
use crate::storage::{RecordFilter, RecordRow, TownshipId};

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/townships", get(get_townships))
        .route("/api/records", get(list_records))
        .route("/api/records/search", post(search_records))
        .route("/api/records/{id}", get(get_record))
        .route("/api/records/{id}/history", get(get_history))
        .route("/api/differences", get(list_differences))
        .merge(super::decide::router())
        .merge(super::doubts::router())
        .merge(super::devices::router())
        .merge(super::masked::router())
        .merge(super::quarantine::router())
        .merge(super::duplicates::router())
        .merge(super::refused_uploads::router())
        .merge(super::figures::router())
        .route("/api/phones", get(list_phones))
}

/// Which rows are asked; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    township: Option<String>,
    r#type: Option<String>,
    area: Option<String>,
    subject: Option<String>,
    search: Option<String>,
    status: Option<String>,
    question: Option<String>,
    as_of: Option<String>,
    /// `all`: with the households that are united into others.
    united: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

impl ListQuery {
    /// Refuses a search in an address: a name would stand in the logs of every proxy on the way.
    fn of_address(self) -> Result<Self, ApiError> {
        if self.search.is_some() { Err(ApiError::bad_request("search")) } else { Ok(self) }
    }

    fn filter(&self) -> Result<RecordFilter, ApiError> {
        if self.search.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(ApiError::bad_request("search"));
        }
        let bad = |name| move |_| ApiError::bad_request(name);
        Ok(RecordFilter {
            record_type: self.r#type.clone(),
            area: self.area.as_deref().map(str::parse::<AreaId>).transpose().map_err(bad("area"))?,
            subject: self.subject.as_deref().map(str::parse::<RecordId>).transpose().map_err(bad("subject"))?,
            search: self.search.clone().filter(|s| !s.is_empty()).map(|s| s.to_lowercase()),
            elsewhere: false,
            with_differences: false,
            without_united: self.united.as_deref() != Some("all"),
            status: self.status.clone(),
            after: self.after.unwrap_or(0),
            limit: self.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX),
        })
    }
}

/// The township that is asked for, or the only one; where there are several, one has to be named.
pub(super) fn township(app: &App, asked: Option<&str>) -> Result<TownshipId, ApiError> {
    let known = app.service.storage.townships()?;
    match asked {
        Some(id) => {
            let id = id.parse::<AreaId>().map_err(|_| ApiError::bad_request("township"))?;
            known.contains(&id).then_some(id).ok_or_else(ApiError::not_found)
        }
        None if known.len() > 1 => Err(ApiError::bad_request("township")),
        None => known.first().copied().ok_or_else(ApiError::not_found),
    }
}

async fn get_townships(_: Office, State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let mut rows = Vec::new();
        for id in shared.service.storage.townships()? {
            let (version, areas) = shared.service.storage.areas(id)?;
            let areas: Vec<Value> = areas
                .iter()
                .map(|a| json!({"id": a.area, "parent": a.parent, "level": a.level, "code": a.code, "name": {"zh": a.name_zh, "en": a.name_en}}))
                .collect();
            rows.push(json!({"id": id, "areas_version": version, "areas": areas}));
        }
        Ok(Json(json!({"townships": rows})))
    })
    .await?
}

fn row_json(row: &RecordRow) -> Value {
    json!({
        "id": row.id,
        "type": row.record_type,
        "area": row.area,
        "subject": row.subject,
        "title": row.projection.title,
        "label": row.projection.label,
        "status": row.projection.status,
        "persons": row.projection.persons,
        "day": row.projection.day,
        "differences": row.projection.differences,
        "doubts": row.projection.doubts,
        "updated_ms": row.updated_ms,
        "cursor": row.born,
    })
}

fn rows_json(rows: &[RecordRow], limit: u32) -> Value {
    let next = (rows.len() as u32 >= limit).then(|| rows.last().map(|r| r.born)).flatten();
    json!({"records": rows.iter().map(row_json).collect::<Vec<_>>(), "next": next})
}

async fn list_records(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    list(app, query.of_address()?).await
}

/// Like the list, by a search text that stands in the body.
async fn search_records(
    _: Office,
    State(app): State<Arc<App>>,
    query: Result<Json<ListQuery>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(query) = query.map_err(|_| ApiError::bad_request("body"))?;
    list(app, query).await
}

async fn list_differences(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let query = query.of_address()?;
    let shared = app.clone();
    app.blocking(move || {
        let RecordFilter { area, after, limit, .. } = query.filter()?;
        let township = township(&shared, query.township.as_deref())?;
        let filter = DifferenceFilter { area, question: query.question, after, limit };
        let page = shared.service.differences(township, &filter)?;
        let row = |found: &DifferingRecord| {
            let mut row = row_json(&found.row);
            row["heads"] = json!(found.heads);
            row["masked"] = found.is_masked.into();
            row["answers"] = json!(found.differences);
            row
        };
        let rows: Vec<Value> = page.records.iter().map(row).collect();
        Ok(Json(json!({"records": rows, "questions": page.questions, "next": page.next})))
    })
    .await?
}

async fn list(app: Arc<App>, query: ListQuery) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let filter = query.filter()?;
        let township = township(&shared, query.township.as_deref())?;
        let rows = shared.service.storage.list_records(township, &filter)?;
        Ok(Json(rows_json(&rows, filter.limit)))
    })
    .await?
}

async fn load(app: Arc<App>, id: &str, query: ListQuery) -> Result<RecordPage, ApiError> {
    let id = id.parse::<RecordId>().map_err(|_| ApiError::bad_request("id"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let as_of = match query.as_of.as_deref() {
            Some(text) => Some(AsOf::parse(text).ok_or_else(|| ApiError::bad_request("as_of"))?),
            None => None,
        };
        view::record_page_at(&shared.service, township, id, as_of)?.ok_or_else(ApiError::not_found)
    })
    .await?
}

async fn get_record(
    _: Office,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let page = load(app, &id, query).await?;
    if page.is_masked() {
        return Ok(Json(json!({"record": row_json(&page.row), "masked": true})));
    }
    let page = page.into_shown();
    let merged = RawValue::from_string(page.json).map_err(|_| ApiError::not_found())?;
    Ok(Json(json!({
        "record": row_json(&page.row),
        "masked": false,
        "heads": page.heads,
        "as_of": page.as_of.map(|(seq, received_ms)| json!({"seq": seq, "received_ms": received_ms})),
        "merged": merged,
        "differences": page.differences,
        "parts": page.parts.iter().map(|p| json!({"id": p.id, "type": p.record_type})).collect::<Vec<_>>(),
    })))
}

async fn get_history(
    _: Office,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let page = load(app, &id, query).await?;
    let masked = page.is_masked();
    let history = if masked { Vec::new() } else { page.into_shown().history };
    Ok(Json(json!({"masked": masked, "history": history})))
}

async fn list_phones(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let (head, _) = shared.service.storage.head(township)?;
        let names = view::people(&shared.service, township)?;
        let rows: Vec<Value> = shared
            .service
            .storage
            .devices(township)?
            .iter()
            .map(|d| {
                json!({
                    "id": d.id, "user": d.user, "name": names.user(d.user), "last_sync_ms": d.last_sync_ms,
                    "behind": head.seq.saturating_sub(d.feed_seq), "revoked": d.revoked,
                })
            })
            .collect();
        Ok(Json(json!({"head": head.seq, "phones": rows})))
    })
    .await?
}
