//! `GET /api/forms`: the versions of all forms, and their definitions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use doorstep_core::form::Pack;
use serde_json::{Value, json};

use super::ApiError;
use super::office::Office;
use crate::app::App;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/forms", get(list_forms)).route("/api/forms/{name}/{version}", get(get_form))
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
