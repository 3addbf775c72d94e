//! Connections: accepted until told to stop, then let finish; each cut when its other side keeps the server waiting.
//!
//! `axum::serve` has no timeout for slow headers and none for answers that nobody reads, hence this loop.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use crate::limits::Timeouts;

/// Serves until `shutdown` completes: then nobody new gets in, and open requests finish, at most [`Timeouts::drain_ms`].
pub async fn serve(mut listener: TcpListener, router: Router, timeouts: Timeouts, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => {
                connections.spawn(carry(stream, router.clone(), timeouts, stopping.clone()));
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

async fn carry(stream: TcpStream, router: Router, timeouts: Timeouts, mut stopping: watch::Receiver<bool>) {
    let answer_idle = Duration::from_millis(timeouts.answer_idle_ms);
    let stream = TokioIo::new(Impatient { stream, answer_idle, waiting: None });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(timeouts.headers_ms))
        .serve_connection(stream, TowerToHyperService::new(router));
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
