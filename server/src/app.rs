//! The HTTP application: state, router, run loop. `build_router` is pure; `run` serves until told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::api::{self, ApiError};
use crate::limits::{self, Timeouts};
use crate::service::Service;
use crate::service::desk::Desk;
use crate::{connections, health, web};

/// What every handler shares.
pub struct App {
    /// The core.
    pub service: Arc<Service>,
    /// What the office decides.
    pub desk: Arc<Desk>,
    /// Who may look at pages and the JSON API.
    pub office: api::office::OfficeAccess,
    /// Bounds exchanges of devices that are known.
    pub exchanges: Arc<api::sync::Exchanges>,
    /// Bounds senders that haven't said who they are yet.
    pub strangers: Semaphore,
    /// Bounds work on threads.
    pub workers: Arc<Semaphore>,
    /// Bounds waiting.
    pub timeouts: Timeouts,
}

impl App {
    /// An application over a service.
    pub fn new(service: Arc<Service>, office: api::office::OfficeAccess) -> Arc<Self> {
        Self::with_timeouts(service, office, Timeouts::default())
    }

    /// An application that waits so long for those who talk to it.
    pub fn with_timeouts(service: Arc<Service>, office: api::office::OfficeAccess, timeouts: Timeouts) -> Arc<Self> {
        let desk = Arc::new(Desk::new(service.clone()));
        Arc::new(Self {
            service,
            desk,
            office,
            exchanges: Arc::default(),
            strangers: Semaphore::new(limits::STRANGERS_MAX),
            workers: Arc::new(Semaphore::new(limits::WORKERS_MAX)),
            timeouts,
        })
    }

    /// Runs blocking work on a thread, at most [`limits::WORKERS_MAX`] at once. A panic in it is contained.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let internal = || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal");
        let permit = self.workers.clone().acquire_owned().await.map_err(|_| internal())?;
        let done = spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| {
            crate::metrics::add(&self.service.metrics.panics, 1);
            internal()
        })
    }
}

/// All routes.
pub fn build_router(app: Arc<App>) -> Router {
    let request = Duration::from_millis(app.timeouts.request_ms);
    let small = Router::new()
        .merge(api::enrol::router())
        .merge(api::erasures::router())
        .merge(api::events::router())
        .merge(api::grants::router())
        .merge(api::records::router())
        .merge(api::forms::router())
        .merge(api::audit::router())
        .merge(api::office::router())
        .merge(web::router())
        .merge(health::router())
        .layer(axum::extract::DefaultBodyLimit::max(limits::SMALL_BODY_MAX))
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, request));
    Router::new()
        .merge(api::sync::router())
        // tables of a register take minutes
        .merge(with_headers(small.merge(api::register::router())))
        .fallback(api::enrol::not_found)
        .layer(CatchPanicLayer::new())
        .with_state(app)
}

/// What every answer but an exchange's says to browsers.
fn with_headers(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let fixed = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // not "no-referrer": with it browsers send `Origin: null` with our own forms, see `api::office::same_origin`
        .layer(fixed(header::REFERRER_POLICY, "same-origin"))
        .layer(fixed(header::CACHE_CONTROL, "no-store"))
        .layer(fixed(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ))
}

/// Serves until `shutdown` completes, then lets open requests finish, at most [`Timeouts::drain_ms`].
pub async fn run(app: Arc<App>, listener: TcpListener, shutdown: impl Future<Output = ()> + Send + 'static) {
    let service = app.service.clone();
    let housekeeping = tokio::spawn(async move {
        let mut tick = tokio::time::interval(limits::HOUSEKEEPING);
        loop {
            tick.tick().await;
            let service = service.clone();
            let _ = spawn_blocking(move || {
                let before = service.clock.now_ms().saturating_sub(limits::STAGED_UPLOAD_MS);
                if let Err(error) = service.storage.drop_uploads_before(before) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old uploads could not be dropped");
                }
                if let Err(error) = service.retry_all_events() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "events that wait could not be tried");
                }
                if let Err(error) = service.give_due_grants() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "planned grants could not be given");
                }
                if let Err(error) = service.end_overdue_grants() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "grants that are over could not be ended");
                }
            })
            .await;
        }
    });
    let refreshing = tokio::spawn(refresh(app.service.clone()));
    let timeouts = app.timeouts;
    connections::serve(listener, build_router(app), timeouts, shutdown).await;
    housekeeping.abort();
    refreshing.abort();
}

/// Keeps what is computed of records in step with the forms.
async fn refresh(service: Arc<Service>) {
    let mut tick = tokio::time::interval(limits::REFRESH);
    loop {
        tick.tick().await;
        let service = service.clone();
        let done = spawn_blocking(move || service.refresh_records());
        match done.await {
            Ok(Ok(0)) => {}
            Ok(Ok(changed)) => tracing::info!(changed, "records were computed anew"),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "records could not be computed anew");
            }
            Err(_) => tracing::error!("computing records anew panicked"),
        }
    }
}
