//! Networks that answer in the server's place, and servers that refuse.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::post;
use doorstep_core::sync::{HttpTransport, SyncError, TransportError};
use doorstep_tests::harness::{TestServer, add_household, open_phone, sync, try_sync};
use tempfile::TempDir;

fn serve(server: &TestServer, router: Router) -> SocketAddr {
    let listener = server.runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    server.runtime().spawn(async move { axum::serve(listener, router).await });
    address
}

fn failure(answer: Router) -> TransportError {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    add_household(&phone, server.villages[0], "0001", "李四");
    let address = serve(&server, answer);
    phone.use_transport(Arc::new(HttpTransport::new(&format!("http://{address}")).unwrap()));
    let error = try_sync(&phone).unwrap_err();
    assert_eq!(phone.counts().unwrap().unsent, 1, "what waits still waits");
    phone.use_transport(Arc::new(HttpTransport::new(&server.url()).unwrap()));
    assert_eq!(sync(&phone).changes_acknowledged, 1, "and arrives on a good network");
    match error {
        SyncError::Transport(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_sign_in_page_of_the_network_is_told_from_the_server() {
    let page = Router::new().route("/sync", post(|| async { Html("<h1>Welcome to Free Wi-Fi</h1>") }));
    assert_eq!(failure(page), TransportError::CaptivePortal);
    let redirect = Router::new().route("/sync", post(|| async { Redirect::temporary("http://portal.invalid/") }));
    assert_eq!(failure(redirect), TransportError::CaptivePortal);
}

#[test]
fn a_busy_server_says_when_to_come_again() {
    let busy = Router::new().route(
        "/sync",
        post(|| async { (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "").into_response() }),
    );
    let error = failure(busy);
    assert!(error.is_temporary());
    assert!(matches!(error, TransportError::Refused { status: 503, retry_after_s: Some(7), .. }), "{error:?}");
}

#[test]
fn an_unreachable_server_is_named_as_such() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    phone.use_transport(Arc::new(HttpTransport::new(&format!("http://{address}")).unwrap()));
    let error = try_sync(&phone).unwrap_err();
    assert!(matches!(error, SyncError::Transport(TransportError::Unreachable)), "{error}");
}

#[test]
fn a_code_works_once() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let code = server.code("甲");
    let first = doorstep_tests::harness::open_phone(dirs[1].path());
    first.enrol(&server.url(), &code.to_lowercase().replace('-', " ")).expect("typed as people do");
    let second = doorstep_tests::harness::open_phone(dirs[2].path());
    assert!(second.enrol(&server.url(), &code).is_err());
}

/// Answers one request with this head and as much body as the other side takes, at most 64 MiB; gives how much that was.
fn flood(head: &'static str) -> (String, std::thread::JoinHandle<usize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sender = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let block = [b'x'; 64 << 10];
        (0..1_024).take_while(|_| stream.write_all(&block).is_ok()).count() * block.len()
    });
    (url, sender)
}

#[test]
fn a_page_without_end_does_not_fill_the_phone_s_memory() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    let (url, sender) = flood("HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n");
    phone.use_transport(Arc::new(HttpTransport::new(&url).unwrap()));
    assert!(matches!(try_sync(&phone), Err(SyncError::Transport(TransportError::Refused { status: 403, .. }))));
    // its connection goes with the transport
    phone.use_transport(Arc::new(HttpTransport::new(&server.url()).unwrap()));
    assert!(sender.join().unwrap() < 32 << 20, "the phone hung up on the error");
    let (url, sender) = flood("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
    assert!(open_phone(dirs[2].path()).enrol(&url, "CODE").is_err());
    assert!(sender.join().unwrap() < 32 << 20, "and on the answer to an enrolment");
}
