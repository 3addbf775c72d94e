//! `POST /enrol`: a phone registers its key with a one-time code.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use doorstep_core::protocol::enrol::{ENROL_AGAIN_PATH, ENROL_PATH, EnrolAgainBody, EnrolAnswer, EnrolBody};

use super::ApiError;
use crate::app::App;
use crate::connections::Sender;
use crate::limits;
use crate::service::people::EnrolmentRequest;

/// The route.
pub fn router() -> Router<Arc<App>> {
    let again = post(post_enrol_again).layer(DefaultBodyLimit::max(limits::ENROL_AGAIN_MAX));
    Router::new().route(ENROL_PATH, post(post_enrol)).route(ENROL_AGAIN_PATH, again)
}

async fn post_enrol(
    State(app): State<Arc<App>>,
    Sender(address): Sender,
    body: Result<Json<EnrolBody>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<EnrolAnswer>, ApiError> {
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let public_key = array(&body.public_key).ok_or_else(|| ApiError::bad_request("public_key"))?;
    let proof = array(&body.proof).ok_or_else(|| ApiError::bad_request("proof"))?;
    if body.code.len() > 128 {
        return Err(ApiError::bad_request("code"));
    }
    let (service, code) = (app.service.clone(), body.code);
    let answer = app
        .blocking(move || {
            let device = service.enrol_from(address, &EnrolmentRequest { code, public_key, proof })?;
            let users = service.storage.users()?;
            let user_name = users.into_iter().find(|u| u.id == device.user).map(|u| u.name).unwrap_or_default();
            let certificate = service.certificate(&device, &user_name).ok_or(crate::service::Refused::Signature)?;
            Ok::<_, crate::service::Refused>(EnrolAnswer {
                certificate,
                tenant: service.secrets.tenant,
                tenant_key: HEXLOWER.encode(&service.secrets.tenant_key),
                township: device.township,
                device: device.id,
                user: device.user,
                user_name,
                server_identity: HEXLOWER.encode(&service.identity()),
            })
        })
        .await??;
    Ok(Json(answer))
}

async fn post_enrol_again(
    State(app): State<Arc<App>>,
    body: Result<Json<EnrolAgainBody>, axum::extract::rejection::JsonRejection>,
) -> Result<(), ApiError> {
    let Json(shown) = body.map_err(|_| ApiError::bad_request("body"))?;
    let service = app.service.clone();
    Ok(app.blocking(move || service.enrol_again(&shown)).await??)
}

fn array<const N: usize>(hex: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

/// Used by the router's fallback.
pub async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found")
}
