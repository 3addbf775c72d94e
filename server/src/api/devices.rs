//! `/api/devices`: phones invited, listed, reported lost, shut out; what a lost phone handed over, accepted.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use doorstep_core::id::{AreaId, DeviceId, UserId};
use doorstep_core::protocol::Invitation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::office::{Office, same_origin};
use super::quarantine::released_json;
use super::records::township;
use crate::app::App;
use crate::service::Service;
use crate::service::audit::{Actor, REASON_CHARS};
use crate::service::invitations::{INVITED_AT_ONCE, Invited, Named};
use crate::service::view::{self, People};
use crate::storage::{Device, StorageError, TownshipId};
use crate::{limits, messages};

/// The routes.
pub fn router() -> Router<Arc<App>> {
    let invite = post(invite).layer(DefaultBodyLimit::max(limits::INVITATIONS_MAX));
    Router::new()
        .route("/api/devices", get(list_devices))
        .route("/api/devices/invitations", invite)
        .route("/api/devices/{id}", get(get_device))
        .route("/api/devices/{id}/lost", post(report_lost))
        .route("/api/devices/{id}/withdraw-lost", post(withdraw_lost))
        .route("/api/devices/{id}/revoke", post(revoke))
        .route("/api/devices/{id}/accept-unsent", post(accept_unsent))
}

#[derive(Debug, Default, Deserialize)]
struct DeviceQuery {
    township: Option<String>,
}

fn device_json(service: &Service, device: &Device, names: &People) -> Result<Value, StorageError> {
    let (head, _) = service.storage.head(device.township)?;
    let ms = |at: u64| if at == 0 { Value::Null } else { json!(at) };
    let lost = device.lost.map(
        |lost| json!({"reported_ms": lost.reported_ms, "told_ms": ms(lost.told_ms), "wiped_ms": ms(lost.wiped_ms)}),
    );
    Ok(json!({
        "id": device.id,
        "user": device.user,
        "name": names.user(device.user),
        "enrolled_ms": device.enrolled_ms,
        "last_sync_ms": ms(device.last_sync_ms),
        "behind": head.seq.saturating_sub(device.feed_seq),
        "revoked": device.revoked,
        "lost": lost,
    }))
}

async fn list_devices(
    _: Office,
    State(app): State<Arc<App>>,
    Query(query): Query<DeviceQuery>,
) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let names = view::people(&shared.service, township)?;
        let devices = shared.service.storage.devices(township)?;
        let rows = devices.iter().map(|d| device_json(&shared.service, d, &names));
        Ok(Json(json!({"devices": rows.collect::<Result<Vec<_>, _>>()?})))
    })
    .await?
}

fn known(service: &Service, id: &str) -> Result<Device, ApiError> {
    let id: DeviceId = id.parse().map_err(|_| ApiError::bad_request("id"))?;
    service.storage.device(id)?.ok_or_else(ApiError::not_found)
}

async fn get_device(_: Office, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let device = known(&shared.service, &id)?;
        let names = view::people(&shared.service, device.township)?;
        Ok(Json(device_json(&shared.service, &device, &names)?))
    })
    .await?
}

/// A person to be invited.
#[derive(Deserialize)]
struct Person {
    name: String,
    #[serde(default)]
    unit: String,
}

/// Whom to invite: people by name and unit (new ones are made), or by id.
#[derive(Deserialize)]
struct Invite {
    township: Option<String>,
    #[serde(default)]
    people: Vec<Person>,
    #[serde(default)]
    users: Vec<UserId>,
    /// The role of people who are new; without it a helper.
    role: Option<String>,
    /// The area that it is for; without it the whole township.
    area: Option<AreaId>,
    /// The server's address as phones reach it: the answer has links for QR codes then.
    address: Option<String>,
}

async fn invite(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Json<Invite>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let Json(asked) = body.map_err(|_| ApiError::bad_request("body"))?;
    let shared = app.clone();
    app.blocking(move || {
        let township = township(&shared, asked.township.as_deref())?;
        let service = &shared.service;
        let link = |code: &str| -> Result<Value, ApiError> {
            let Some(address) = &asked.address else { return Ok(Value::Null) };
            let server_url = address.trim_end_matches('/').to_owned();
            let invitation = Invitation { server_url, identity: service.identity(), code: code.to_owned() };
            let link = invitation.to_string();
            let read = link.parse::<Invitation>();
            if !read.is_ok_and(|read| read.is_private()) {
                return Err(ApiError::bad_request("address"));
            }
            Ok(link.into())
        };
        // an address that can't be one is refused before anything is made
        link(&"A".repeat(26))?;
        let invited = invited(service, office.actor(), township, &asked)?;
        let rows = invited.iter().map(|Invited { user, code }| {
            Ok(json!({"user": user.id, "name": user.name, "unit": user.unit, "code": code, "link": link(code)?}))
        });
        let rows = rows.collect::<Result<Vec<_>, ApiError>>()?;
        Ok(Json(json!({"until_ms": service.invitation_end_ms(), "invitations": rows})))
    })
    .await?
}

fn invited(service: &Service, actor: Actor, township: TownshipId, asked: &Invite) -> Result<Vec<Invited>, ApiError> {
    let count = asked.people.len() + asked.users.len();
    if count == 0 || count > INVITED_AT_ONCE {
        return Err(ApiError::bad_request("people"));
    }
    let named: Option<Vec<Named>> = asked.people.iter().map(|p| Named::new(&p.name, &p.unit)).collect();
    let named = named.ok_or_else(|| ApiError::bad_request("people"))?;
    let known = service.storage.users()?;
    let mut users = Vec::new();
    for id in &asked.users {
        users.push(known.iter().find(|u| u.id == *id).cloned().ok_or_else(|| ApiError::bad_request("users"))?);
    }
    let role = asked.role.as_deref().unwrap_or("helper");
    users.extend(service.people_named(actor, township, &named, (role, asked.area.unwrap_or(township)))?);
    Ok(service.invite_all(actor, township, users)?)
}

/// Why something is done.
#[derive(Default, Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// A phone as it stands after what was done with it.
fn standing(service: &Service, device: DeviceId) -> Result<Value, ApiError> {
    let device = service.storage.device(device)?.ok_or_else(ApiError::not_found)?;
    Ok(device_json(service, &device, &view::people(service, device.township)?)?)
}

async fn report_lost(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    for_reason(&app, &headers, id, body, move |service, device, reason| {
        service.report_lost(office.actor(), device, reason)?;
        standing(service, device)
    })
    .await
}

/// Withdraws a report; a phone that has erased itself, or isn't reported, is answered with 409 and what to do.
async fn withdraw_lost(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    for_reason(&app, &headers, id, body, move |service, device, reason| {
        let done = service.withdraw_lost(office.actor(), device, reason)?;
        if !done.is_done() {
            return Err(ApiError::new(StatusCode::CONFLICT, done.code()));
        }
        let (text, device) = (messages::error(done.code()), standing(service, device)?);
        Ok(json!({"result": done.code(), "message": {"zh": text.zh, "en": text.en}, "device": device}))
    })
    .await
}

async fn revoke(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    for_reason(&app, &headers, id, body, move |service, device, reason| {
        service.revoke(office.actor(), device, reason)?;
        standing(service, device)
    })
    .await
}

async fn accept_unsent(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    for_reason(&app, &headers, id, body, move |service, device, reason| {
        if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS {
            return Err(ApiError::reason_needed());
        }
        let released = service.accept_unsent(office.actor(), device, reason)?;
        Ok(released_json(&released.ok_or_else(ApiError::not_found)?))
    })
    .await
}

/// Does something with a known phone for a reason, when a page of this server or a program asks for it.
async fn for_reason(
    app: &Arc<App>,
    headers: &HeaderMap,
    id: String,
    body: Result<Json<Reason>, JsonRejection>,
    act: impl FnOnce(&Arc<Service>, DeviceId, &str) -> Result<Value, ApiError> + Send + 'static,
) -> Result<Json<Value>, ApiError> {
    same_origin(headers)?;
    let Json(Reason { reason }) = body.map_err(|_| ApiError::bad_request("body"))?;
    let shared = app.clone();
    app.blocking(move || {
        let device = known(&shared.service, &id)?;
        Ok(Json(act(&shared.service, device.id, &reason)?))
    })
    .await?
}
