//! `POST /sync`: one exchange, streamed both ways.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use doorstep_core::id::DeviceId;
use doorstep_core::protocol::hello::SignedHello;
use doorstep_core::protocol::{CONTENT_TYPE, Hello, SYNC_PATH, limits as wire};
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ApiError;
use crate::app::App;
use crate::limits::{self, Timeouts};
use crate::metrics::add;
use crate::service::{Exchange, Refused, ReplyStream};

/// A reply of at most so many bytes goes out in one piece, with its length.
const WHOLE_REPLY_MAX: usize = 32 << 10;

/// The exchange's route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route(SYNC_PATH, post(post_sync))
}

/// Exchanges under way, by device: at most [`limits::EXCHANGES_MAX`], and [`limits::DEVICE_EXCHANGES_MAX`] of one device.
#[derive(Default)]
pub struct Exchanges(Mutex<HashMap<DeviceId, usize>>);

impl Exchanges {
    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave for one more exchange; `None` when there are enough.
    fn begin(self: &Arc<Self>, device: DeviceId) -> Option<UnderWay> {
        let mut under_way = self.lock();
        let all: usize = under_way.values().sum();
        let own = under_way.get(&device).copied().unwrap_or(0);
        if all >= limits::EXCHANGES_MAX || own >= limits::DEVICE_EXCHANGES_MAX {
            return None;
        }
        under_way.insert(device, own + 1);
        Some(UnderWay { exchanges: self.clone(), device })
    }
}

/// An exchange under way; it ends when this is dropped.
struct UnderWay {
    exchanges: Arc<Exchanges>,
    device: DeviceId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.exchanges.lock();
        if let Some(own) = under_way.get_mut(&self.device) {
            *own -= 1;
            if *own == 0 {
                under_way.remove(&self.device);
            }
        }
    }
}

async fn post_sync(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let answer = exchange(&app, body).await;
    if answer.is_err() {
        add(&app.service.metrics.refused_requests, 1);
    }
    let (collected, stream, under_way) = answer?;
    let response = Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE);
    let body = match stream {
        None => Body::from(collected),
        Some(stream) => {
            let rest = Rest { first: Some(collected.into()), stream: Some(stream), app, _under_way: under_way };
            Body::from_stream(futures_util::stream::unfold(rest, Rest::next))
        }
    };
    response.body(body).map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal"))
}

/// Who sends is known, and only then counted among the exchanges, before anything is kept for it.
async fn exchange(app: &Arc<App>, body: Body) -> Result<(Vec<u8>, Option<ReplyStream>, UnderWay), ApiError> {
    let mut reader = BodyReader { body, bytes: Vec::new(), timeouts: app.timeouts, since: Instant::now() };
    let signed = {
        let _stranger = app.strangers.try_acquire().map_err(|_| Refused::Busy)?;
        let patience = Duration::from_millis(app.timeouts.headers_ms);
        timeout(patience, reader.hello()).await.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout"))??
    };
    let rest_at = signed.length;
    let service = app.service.clone();
    let exchange = app.blocking(move || service.admit(signed)).await??;
    let under_way = app.exchanges.begin(exchange.device()).ok_or(Refused::Busy)?;
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
    let (collected, stream) = app.blocking(move || start_reply(exchange, &rest)).await??;
    Ok((collected, stream, under_way))
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
    _under_way: UnderWay,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_can_not_take_all_exchanges_and_gives_back_those_that_end() {
        let exchanges = Arc::new(Exchanges::default());
        let (one, other) = (DeviceId([1; 16]), DeviceId([2; 16]));
        let mut under_way: Vec<_> = std::iter::from_fn(|| exchanges.begin(one)).collect();
        assert_eq!(under_way.len(), limits::DEVICE_EXCHANGES_MAX);
        assert!(exchanges.begin(other).is_some());
        under_way.pop();
        assert!(exchanges.begin(one).is_some());
        drop(under_way);
        let all: Vec<_> =
            (0..limits::EXCHANGES_MAX as u128).map(|n| exchanges.begin(DeviceId(n.to_be_bytes()))).collect();
        assert!(all.iter().all(Option::is_some) && exchanges.begin(DeviceId([9; 16])).is_none());
    }
}
