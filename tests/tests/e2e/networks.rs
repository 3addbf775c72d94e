//! Networks that answer in the server's place, and servers that refuse.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::post;
use doorstep_core::sync::{HttpTransport, SyncError, TransportError};
use doorstep_tests::harness::{TestServer, add_household, sync, try_sync};
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
