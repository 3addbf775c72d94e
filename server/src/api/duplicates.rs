//! `/api/duplicates`: households and members that may stand twice; `/api/links`: what was decided about them.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use doorstep_core::id::{AreaId, ChangeHash, RecordId};
use doorstep_core::link::{Side, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::limits;
use crate::service::links::{LinkDecision, OpenCandidate};

/// Links that one answer lists.
const LINKS_MAX: usize = 500;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/duplicates", get(list_duplicates)).route("/api/links", get(list_links).post(post_link))
}

#[derive(Debug, Default, Deserialize)]
struct DuplicatesQuery {
    township: Option<String>,
    area: Option<String>,
    after: Option<usize>,
    limit: Option<u32>,
}

fn side_json(side: &Side, name: &str, area: Option<AreaId>) -> Value {
    json!({"household": side.household, "member": side.member, "name": name, "area": area})
}

fn candidate_json(open: &OpenCandidate) -> Value {
    let c = &open.candidate;
    json!({
        "sides": [
            side_json(&c.sides.0, &c.names.0, Some(c.areas.0)),
            side_json(&c.sides.1, &c.names.1, Some(c.areas.1)),
        ],
        "score": c.score,
        "reasons": c.reasons.iter().map(|r| r.code()).collect::<Vec<_>>(),
        "disputed": open.is_disputed,
        "heads": open.heads,
    })
}

async fn list_duplicates(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<DuplicatesQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let area = query.area.as_deref().map(str::parse).transpose().map_err(|_| ApiError::bad_request("area"))?;
        let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS_MAX) as usize;
        let (page, next, found) = shared.desk.open_candidates(township, area, (query.after.unwrap_or(0), limit))?;
        Ok(Json(json!({
            "candidates": page.iter().map(candidate_json).collect::<Vec<_>>(),
            "next": next,
            "more_exist": found.has_more,
            "as_of_ms": found.as_of_ms,
            "households": found.households,
            "compared": found.compared,
        })))
    })
    .await?
}

async fn list_links(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<DuplicatesQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let united = shared.service.storage.united(township)?;
        let links = shared.desk.decided_links(township, LINKS_MAX)?;
        let link = |l: &crate::service::links::DecidedLink| {
            json!({
                "id": l.stored.record,
                "households": [l.stored.link.households.0, l.stored.link.households.1],
                "names": [l.names.0, l.names.1],
                "members": l.sides.as_ref().map(|sides| [&sides.0.member, &sides.1.member]),
                "of_members": l.stored.link.of_members,
                "verdict": if l.stored.link.is_same { Verdict::Same } else { Verdict::NotSame }.as_str(),
                "heads": l.heads,
            })
        };
        let united: serde_json::Map<String, Value> =
            united.iter().map(|(id, into)| (id.to_string(), json!(into))).collect();
        Ok(Json(json!({"links": links.iter().map(link).collect::<Vec<_>>(), "united_into": united})))
    })
    .await?
}

#[derive(Debug, Deserialize)]
struct SideBody {
    household: RecordId,
    #[serde(default)]
    member: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LinkBody {
    sides: [SideBody; 2],
    verdict: String,
    #[serde(default)]
    leads: Option<RecordId>,
    #[serde(default)]
    heads: Vec<ChangeHash>,
    #[serde(default)]
    reason: String,
}

async fn post_link(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<DuplicatesQuery>,
    body: Result<Json<LinkBody>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let [one, other] = body.sides.map(|side| Side { household: side.household, member: side.member });
    let decision = LinkDecision {
        sides: (one, other),
        verdict: Verdict::parse(&body.verdict).ok_or_else(|| ApiError::bad_request("verdict"))?,
        leads: body.leads,
        heads: body.heads,
        reason: body.reason,
    };
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let id = shared.desk.link(office.actor(), township, &decision)?;
        Ok(Json(json!({"id": id})))
    })
    .await?
}
