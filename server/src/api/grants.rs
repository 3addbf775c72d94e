//! People, roles, grants, pairings, areas; and the state of records: approve, return.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::AreaEntry;
use doorstep_core::rights::Standing;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::decide::TownshipQuery;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::calendar::parse_day;
use crate::service::audit::REASON_CHARS;
use crate::service::grants::{GrantError, NewGrant};
use crate::service::office::WriteError;
use crate::service::rights::current;

/// States that the office may put a record into.
const STATES: [&str; 4] = ["open", "submitted", "approved", "returned"];

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/roles", get(get_roles).put(put_roles))
        .route("/api/people", get(get_people))
        .route("/api/grants", post(post_grant))
        .route("/api/grants/planned", get(planned_grants))
        .route("/api/grants/planned/{no}/end", post(end_planned))
        .route("/api/grants/{user}/{grant}/end", post(end_grant))
        .route("/api/areas/{id}", post(change_area))
        .route("/api/areas/{id}/merge", post(merge_area))
        .route("/api/records/{id}/state", post(set_state))
}

impl From<GrantError> for ApiError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::UnknownRole(_) => Self::bad_request("role"),
            GrantError::UnknownArea => Self::bad_request("area"),
            GrantError::Circle => Self::bad_request("into"),
            GrantError::UnknownHousehold => Self::bad_request("household"),
            GrantError::UnknownUser => Self::bad_request("user"),
            GrantError::StandIn => Self::bad_request("stand_in_for"),
            GrantError::Over => Self::bad_request("until_ms"),
            GrantError::NoName => Self::bad_request("name_zh"),
            GrantError::UnknownGrant => Self::not_found(),
            GrantError::Roles(error) => {
                Self { details: json!({"roles": error.to_string()}), ..Self::bad_request("roles") }
            }
            GrantError::Storage(error) => error.into(),
            GrantError::Write(WriteError::Elsewhere) => Self::new(StatusCode::CONFLICT, "elsewhere"),
            GrantError::Write(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "records could not be moved");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

async fn get_roles(_: Office, State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let roles = shared.service.roles()?;
        Ok(Json(json!({"roles": roles.iter().collect::<Vec<_>>()})))
    })
    .await?
}

async fn put_roles(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: String,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let shared = app.clone();
    app.blocking(move || {
        shared.service.set_roles(office.actor(), &body)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await?
}

async fn get_people(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<TownshipQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let (storage, township) = (&shared.service.storage, township(&shared, query.township.as_deref())?);
        let (_, areas) = storage.areas(township)?;
        let mut people = Vec::new();
        for user in storage.users()? {
            let (_, log) = storage.grants(user.id, 0)?;
            let here = |area: AreaId| area == township || areas.iter().any(|a| a.area == area);
            let held = current(&log).into_iter().filter(|(_, grant)| here(grant.entry.area));
            let grants: Vec<Value> = held
                .map(|(_, g)| {
                    json!({
                        "grant": g.entry.grant, "role": g.entry.role, "area": g.entry.area, "household": g.entry.subject,
                        "active": g.entry.active, "until_ms": g.until_ms, "stand_in_for": g.stand_in_for, "at_ms": g.at_ms,
                    })
                })
                .collect();
            people.push(json!({"user": user.id, "name": user.name, "unit": user.unit, "grants": grants}));
        }
        Ok(Json(json!({"people": people})))
    })
    .await?
}

/// A grant to give.
#[derive(Deserialize)]
struct GrantBody {
    user: UserId,
    role: String,
    /// Without it the whole township, or where the household lies.
    area: Option<AreaId>,
    household: Option<RecordId>,
    /// From when on; without it, or when that is over, from now on.
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    stand_in_for: Option<UserId>,
    /// In place of whoever is paired with the household.
    #[serde(default)]
    anew: bool,
}

async fn post_grant(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<TownshipQuery>,
    body: Result<Json<GrantBody>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let shared = app.clone();
    app.blocking(move || {
        let (service, township) = (&shared.service, township(&shared, query.township.as_deref())?);
        let lies_in = body.household.map(|h| service.storage.record_row(township, h)).transpose()?.flatten();
        let area = body.area.or(lies_in.map(|row| row.area)).unwrap_or(township);
        let new = NewGrant {
            user: body.user,
            role: body.role,
            area,
            household: body.household,
            until_ms: body.until_ms,
            stand_in_for: body.stand_in_for,
        };
        let from_ms = body.from_ms.filter(|from| *from > service.clock.now_ms());
        if let Some(from_ms) = from_ms {
            if body.until_ms.is_some_and(|until| until <= from_ms) {
                return Err(ApiError::bad_request("until_ms"));
            }
            service.plan(office.actor(), township, &new, (from_ms, body.anew))?;
        } else if body.anew {
            service.pair_anew(office.actor(), township, &new)?;
        } else {
            service.give(office.actor(), township, &new)?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await?
}

/// What is to be given later in the township.
async fn planned_grants(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<TownshipQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let planned = shared.service.storage.planned_grants(u64::MAX)?;
        let rows = planned.into_iter().filter(|planned| planned.township == township).map(|p| {
            json!({
                "planned": p.no, "user": p.user, "role": p.role, "area": p.area, "household": p.household, "from_ms": p.from_ms,
                "until_ms": p.until_ms, "stand_in_for": p.stand_in_for, "anew": p.anew,
            })
        });
        Ok(Json(json!({"planned": rows.collect::<Vec<_>>()})))
    })
    .await?
}

async fn end_planned(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(no): Path<u64>,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let shared = app.clone();
    app.blocking(move || match shared.service.unplan(office.actor(), no)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found()),
    })
    .await?
}

async fn end_grant(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((user, grant)): Path<(String, u64)>,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let user = user.parse().map_err(|_| ApiError::bad_request("user"))?;
    let shared = app.clone();
    app.blocking(move || {
        shared.service.end_grant(office.actor(), user, grant)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await?
}

/// How an area is from a day on; what is left out stays.
#[derive(Deserialize)]
struct AreaBody {
    from: String,
    parent: Option<AreaId>,
    code: Option<String>,
    name_zh: Option<String>,
    name_en: Option<String>,
}

async fn change_area(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<TownshipQuery>,
    body: Result<Json<AreaBody>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let id: AreaId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    let day = parse_day(&body.from).map(|_| body.from.clone()).ok_or_else(|| ApiError::bad_request("from"))?;
    let shared = app.clone();
    app.blocking(move || {
        let (service, township) = (&shared.service, township(&shared, query.township.as_deref())?);
        let (_, areas) = service.storage.areas(township)?;
        let now = areas.into_iter().find(|a| a.area == id).ok_or_else(ApiError::not_found)?;
        let entry = AreaEntry {
            parent: body.parent.or(now.parent),
            code: body.code.unwrap_or(now.code),
            name_zh: body.name_zh.unwrap_or(now.name_zh),
            name_en: body.name_en.unwrap_or(now.name_en),
            ..now
        };
        service.change_area(office.actor(), township, entry, &day)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await?
}

/// Into which area one goes, from which day on.
#[derive(Deserialize)]
struct MergeBody {
    into: AreaId,
    from: String,
}

async fn merge_area(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<TownshipQuery>,
    body: Result<Json<MergeBody>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let id: AreaId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    parse_day(&body.from).ok_or_else(|| ApiError::bad_request("from"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let author = shared.desk.author(township)?;
        let areas = (id, body.into);
        let moved = shared.service.merge_area(&author, office.actor(), township, areas, &body.from)?;
        Ok(Json(json!({"moved": moved})))
    })
    .await?
}

/// A state that a record is put into.
#[derive(Deserialize)]
struct StateBody {
    state: String,
    #[serde(default)]
    reason: String,
}

async fn set_state(
    _: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<TownshipQuery>,
    body: Result<Json<StateBody>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let record: RecordId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    if !STATES.contains(&body.state.as_str()) {
        return Err(ApiError::bad_request("state"));
    }
    if body.reason.chars().count() > REASON_CHARS {
        return Err(ApiError::bad_request("reason"));
    }
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let row = shared.service.storage.record_row(township, record)?.ok_or_else(ApiError::not_found)?;
        if row.core != row.id {
            return Err(ApiError::bad_request("id"));
        }
        let standing = Standing { state: body.state, reason: body.reason };
        let author = shared.desk.author(township)?;
        author.set_state(record, &standing).map_err(crate::service::desk::DeskError::from)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await?
}
