//! `/api/forms`: the versions of all forms, their definitions, publishing a workbook, retiring a version.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::{BASE64, HEXLOWER};
use doorstep_core::form::Pack;
use doorstep_core::form::import::import;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ApiError;
use super::office::{Office, same_origin};
use crate::app::App;
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::forms::{AttachedFiles, FormError};

/// The largest body that publishes a form: a workbook with its lists.
pub const FORM_BODY_MAX: usize = 32 << 20;

/// Imports under way at once: each may take some 100 MB.
static IMPORTS: Semaphore = Semaphore::const_new(2);

/// The routes.
pub fn router() -> Router<Arc<App>> {
    let publish = post(publish_form).layer(DefaultBodyLimit::max(FORM_BODY_MAX));
    Router::new()
        .route("/api/forms", get(list_forms).merge(publish))
        .route("/api/forms/{name}/{version}", get(get_form))
        .route("/api/forms/{name}/{version}/retire", post(retire_form))
}

async fn list_forms(_: Office, State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let shared = app.clone();
    app.blocking(move || {
        let catalog = shared.service.forms()?;
        let current = |name: &str, version| catalog.newest(name).is_some_and(|f| f.version == version);
        let published = catalog.versions().map(|v| {
            json!({
                "name": v.name, "version": v.version, "retired": v.retired, "current": current(&v.name, v.version),
                "published_ms": v.published_ms, "sha256": HEXLOWER.encode(&v.hash), "built_in": v.packed.is_none(),
            })
        });
        let listed = |name: &str, version| catalog.versions().any(|v| v.name == name && v.version == version);
        let built_in = Pack::built_in().forms().iter().filter(|f| !listed(&f.name, f.version)).map(|f| {
            json!({
                "name": f.name, "version": f.version, "retired": false, "current": current(&f.name, f.version),
                "built_in": true,
            })
        });
        Ok(Json(json!({"forms": built_in.chain(published).collect::<Vec<_>>()})))
    })
    .await?
}

async fn get_form(
    _: Office,
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let version: u32 = version.parse().map_err(|_| ApiError::bad_request("version"))?;
    let shared = app.clone();
    app.blocking(move || {
        let form = shared.service.forms()?.named(&name, version).ok_or_else(ApiError::not_found)?;
        serde_json::to_value(form.def()).map(Json).map_err(|_| ApiError::not_found())
    })
    .await?
}

/// How a workbook is sent.
#[derive(Debug, Default, Deserialize)]
struct PublishQuery {
    /// The form's id where the workbook's settings name none.
    #[serde(default)]
    name: String,
    /// Only says what is wrong.
    #[serde(default)]
    check: bool,
}

/// A workbook with its lists, as `application/json`; contents in base64.
#[derive(Deserialize)]
struct Parcel {
    workbook: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// Publishes the workbook in the body. 200 with what the import says and the version; 422 with what is wrong.
async fn publish_form(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<PublishQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    same_origin(&headers)?;
    let body = body.map_err(|rejection| ApiError::new(rejection.status(), "too_large"))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let in_parcel = kind.starts_with("application/json");
    let _turn = IMPORTS.acquire().await;
    let shared = app.clone();
    app.blocking(move || {
        let (workbook, files) = if in_parcel { unpack(&body)? } else { (body.to_vec(), AttachedFiles::new()) };
        drop(body);
        publish(&shared.service, office.actor(), &workbook, &files, &query)
    })
    .await?
}

fn unpack(body: &[u8]) -> Result<(Vec<u8>, AttachedFiles), ApiError> {
    let parcel: Parcel = serde_json::from_slice(body).map_err(|_| ApiError::bad_request("body"))?;
    let bytes = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| ApiError::bad_request("body"));
    let files = parcel.files.iter().map(|(name, text)| Ok((name.clone(), bytes(text)?)));
    Ok((bytes(&parcel.workbook)?, files.collect::<Result<_, ApiError>>()?))
}

fn publish(
    service: &Service,
    actor: Actor,
    workbook: &[u8],
    files: &AttachedFiles,
    query: &PublishQuery,
) -> Result<Response, ApiError> {
    let found = import(workbook, &query.name);
    let mut answer = found.to_json();
    let refused = |answer: Value| Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(answer)).into_response());
    let Some(def) = found.def else { return refused(answer) };
    if query.check {
        return Ok(Json(answer).into_response());
    }
    let name = def.name.clone();
    match service.publish_with(actor, def, files) {
        Ok(done) => {
            answer["published"] = json!({
                "name": name, "version": done.version, "is_new": done.is_new, "bytes": done.whole,
                "difference_bytes": done.difference,
            });
            Ok(Json(answer).into_response())
        }
        Err(FormError::Storage(error)) => Err(error.into()),
        Err(FormError::Busy) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy")),
        Err(error) => {
            let message = json!({"zh": error.message("zh"), "en": error.message("en")});
            answer["publishable"] = false.into();
            answer["refused"] = json!({"code": error.code(), "message": message});
            refused(answer)
        }
    }
}

async fn retire_form(
    office: Office,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    same_origin(&headers)?;
    let version: u32 = version.parse().map_err(|_| ApiError::bad_request("version"))?;
    let shared = app.clone();
    app.blocking(move || match shared.service.retire_form(office.actor(), &name, version) {
        Ok(newly) => {
            let current = shared.service.forms()?.newest(&name).map(|form| form.version);
            Ok(Json(json!({"name": name, "version": version, "newly": newly, "current": current})))
        }
        Err(FormError::Unknown { .. }) => Err(ApiError::not_found()),
        Err(FormError::Storage(error)) => Err(error.into()),
        Err(_) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy")),
    })
    .await?
}
