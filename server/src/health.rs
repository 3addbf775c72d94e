//! `/healthz` (the process answers), `/readyz` (the database takes writes and pushes are committed), `/metrics`.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::api::ApiError;
use crate::app::App;
use crate::service::Refused;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(get_ready))
        .route("/metrics", get(get_metrics))
}

async fn get_ready(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    let service = app.service.clone();
    let ready = app.blocking(move || service.is_ready(Instant::now())).await?;
    if ready { Ok("ready\n") } else { Err(Refused::Busy.into()) }
}

async fn get_metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.service.metrics.text())
}
