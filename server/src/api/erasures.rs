//! `POST /api/erasures`: what erasing a member would do, or, with `"erase": true`, erasing.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use doorstep_core::id::RecordId;
use serde::Deserialize;

use super::ApiError;
use super::office::{Office, same_origin};
use super::records::township;
use crate::app::App;
use crate::service::erasure::{Erase, EraseError, Erasure};
use crate::service::office::WriteError;

/// The route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/erasures", post(post_erasure))
}

#[derive(Debug, Default, Deserialize)]
struct TownshipQuery {
    township: Option<String>,
}

/// Who is to be erased: the household's record, the member's instance or name, the ground, further answers.
#[derive(Deserialize)]
struct ErasureBody {
    household: String,
    member: String,
    ground: String,
    #[serde(default)]
    also: Vec<Further>,
    #[serde(default)]
    erase: bool,
}

#[derive(Deserialize)]
struct Further {
    record: String,
    key: String,
}

async fn post_erasure(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<TownshipQuery>,
    body: Result<Json<ErasureBody>, JsonRejection>,
) -> Result<Json<Erasure>, ApiError> {
    same_origin(&headers)?;
    let Json(body) = body.map_err(|_| ApiError::bad_request("body"))?;
    let household = body.household.parse().map_err(|_| ApiError::bad_request("household"))?;
    let also: Option<Vec<(RecordId, String)>> =
        body.also.into_iter().map(|further| Some((further.record.parse().ok()?, further.key))).collect();
    let also = also.ok_or_else(|| ApiError::bad_request("also"))?;
    let erase = Erase { household, member: body.member, also, ground: body.ground };
    let shared = app.clone();
    let done = app.blocking(move || {
        let township = township(&shared, query.township.as_deref())?;
        let done = if body.erase {
            shared.service.erase(office.actor(), township, &erase)?
        } else {
            shared.service.plan_erasure(township, &erase)?
        };
        Ok::<_, ApiError>(done)
    });
    Ok(Json(done.await??))
}

impl From<EraseError> for ApiError {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Household => Self::not_found(),
            EraseError::Elsewhere => Self::new(StatusCode::CONFLICT, "elsewhere"),
            EraseError::Member | EraseError::SeveralMembers => Self::bad_request("member"),
            EraseError::Ground => Self::bad_request("ground"),
            EraseError::Also => Self::bad_request("also"),
            EraseError::Write(WriteError::Refused(refused)) => refused.into(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a person could not be erased");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}
