//! `POST /sync`: one exchange, streamed both ways.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use doorstep_core::protocol::hello::SignedHello;
use doorstep_core::protocol::{CONTENT_TYPE, Hello, SYNC_PATH, limits as wire};
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ApiError;
use crate::app::App;
use crate::limits::Timeouts;
use crate::metrics::add;
use crate::service::{Exchange, Refused, ReplyStream};

/// A reply of at most so many bytes goes out in one piece, with its length.
const WHOLE_REPLY_MAX: usize = 32 << 10;

/// The exchange's route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route(SYNC_PATH, post(post_sync))
}

async fn post_sync(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let Ok(permit) = app.exchanges.clone().try_acquire_owned() else {
        return Err(Refused::Busy.into());
    };
    let answer = exchange(&app, body).await;
    if answer.is_err() {
        add(&app.service.metrics.refused_requests, 1);
    }
    let (collected, stream) = answer?;
    let response = Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE);
    let body = match stream {
        None => Body::from(collected),
        Some(stream) => {
            let rest = Rest { first: Some(collected.into()), stream: Some(stream), app, _permit: permit };
            Body::from_stream(futures_util::stream::unfold(rest, Rest::next))
        }
    };
    response.body(body).map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal"))
}

async fn exchange(app: &Arc<App>, body: Body) -> Result<(Vec<u8>, Option<ReplyStream>), ApiError> {
    let mut reader = BodyReader { body, bytes: Vec::new(), timeouts: app.timeouts, since: Instant::now() };
    let signed = reader.hello().await?;
    let rest_at = signed.length;
    let service = app.service.clone();
    let exchange = app.blocking(move || service.admit(signed)).await??;
    let end = rest_at + exchange.upload_expected();
    if let Err(error) = reader.read_to(end).await {
        let partial = reader.bytes.split_off(rest_at);
        if error.status == StatusCode::PAYLOAD_TOO_LARGE {
            return Err(app.blocking(move || exchange.oversized(&partial)).await?.into());
        }
        app.blocking(move || exchange.cut(&partial)).await??;
        return Err(error);
    }
    let rest = reader.bytes.split_off(rest_at);
    Ok(app.blocking(move || start_reply(exchange, &rest)).await??)
}

/// Runs the exchange and collects the reply while it is small.
fn start_reply(exchange: Exchange, rest: &[u8]) -> Result<(Vec<u8>, Option<ReplyStream>), Refused> {
    let mut stream = exchange.run(rest)?;
    let mut collected = Vec::new();
    while collected.len() < WHOLE_REPLY_MAX {
        match stream.next_chunk()? {
            Some(chunk) => collected.extend(chunk),
            None => return Ok((collected, None)),
        }
    }
    Ok((collected, Some(stream)))
}

struct BodyReader {
    body: Body,
    bytes: Vec<u8>,
    timeouts: Timeouts,
    since: Instant,
}

impl BodyReader {
    async fn hello(&mut self) -> Result<SignedHello, ApiError> {
        loop {
            if let Some(signed) = Hello::decode(&self.bytes).map_err(Refused::from)? {
                return Ok(signed);
            }
            if !self.more().await? {
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "cut"));
            }
        }
    }

    /// Reads until the body has `end` bytes and is over.
    async fn read_to(&mut self, end: usize) -> Result<(), ApiError> {
        while self.bytes.len() <= end {
            if !self.more().await? {
                let whole = self.bytes.len() == end;
                return if whole { Ok(()) } else { Err(ApiError::new(StatusCode::BAD_REQUEST, "cut")) };
            }
        }
        Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large"))
    }

    async fn more(&mut self) -> Result<bool, ApiError> {
        let left = Duration::from_millis(self.timeouts.body_whole_ms).saturating_sub(self.since.elapsed());
        let patience = left.min(Duration::from_millis(self.timeouts.body_idle_ms));
        let Ok(frame) = timeout(patience, self.body.frame()).await else {
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout"));
        };
        let Some(frame) = frame else { return Ok(false) };
        let frame = frame.map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "cut"))?;
        if let Ok(data) = frame.into_data() {
            if self.bytes.len() + data.len() > wire::REQUEST_MAX {
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
            }
            self.bytes.extend_from_slice(&data);
        }
        Ok(true)
    }
}

/// The part of a reply that is made while the phone reads.
struct Rest {
    first: Option<Bytes>,
    stream: Option<ReplyStream>,
    app: Arc<App>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Rest {
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let mut stream = self.stream.take()?;
        let worker = self.app.workers.clone().acquire_owned().await.ok()?;
        let step = spawn_blocking(move || {
            let _worker = worker;
            let chunk = stream.next_chunk();
            (chunk, stream)
        });
        match step.await {
            Ok((Ok(Some(chunk)), stream)) => {
                self.stream = Some(stream);
                Some((Ok(chunk.into()), self))
            }
            Ok((Ok(None), _)) => None,
            Ok((Err(error), _)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a reply ended early");
                Some((Err(std::io::Error::other("the reply ended early")), self))
            }
            Err(_) => Some((Err(std::io::Error::other("the reply ended early")), self)),
        }
    }
}
