//! Connections: accepted until told to stop, then let finish; each cut when its other side keeps the server waiting.
//!
//! `axum::serve` has no timeout for slow headers and none for answers that nobody reads, hence this loop.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tower::util::MapRequest;

use crate::limits::{self, Timeouts};

/// Serves until `shutdown` completes: then nobody new gets in, and open requests finish, at most [`Timeouts::drain_ms`].
pub async fn serve(mut listener: TcpListener, router: Router, timeouts: Timeouts, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            (stream, peer) = Listener::accept(&mut listener), if connections.len() < limits::CONNECTIONS_MAX => {
                connections.spawn(carry(stream, peer.ip(), router.clone(), timeouts, stopping.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "stopping: open requests finish");
    // no connection may be left to hear it
    let _ = stop.send(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(Duration::from_millis(timeouts.drain_ms), finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "stopped before all requests were answered");
    }
}

/// Where a request comes from: the address of its connection, or the one that a proxy on this machine names last.
#[derive(Debug, Clone, Copy)]
pub struct Sender(pub IpAddr);

/// The connection's other side.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        // only a proxy on this machine is believed, and only what it appended itself
        let named = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let named = named.and_then(|v| v.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        Ok(Self(named.filter(|_| peer.is_loopback()).unwrap_or(peer)))
    }
}

async fn carry(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    timeouts: Timeouts,
    mut stopping: watch::Receiver<bool>,
) {
    let service = MapRequest::new(router, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let answer_idle = Duration::from_millis(timeouts.answer_idle_ms);
    let stream = TokioIo::new(Impatient { stream, answer_idle, waiting: None });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(timeouts.headers_ms))
        .serve_connection(stream, TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    // how a connection ends is its other side's business
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A stream that fails when what is written stands still for too long.
struct Impatient {
    stream: TcpStream,
    answer_idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn written(&mut self, context: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let answer_idle = self.answer_idle;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(answer_idle)));
        waiting.as_mut().poll(context).map(|()| Err(Error::from(ErrorKind::TimedOut)))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
