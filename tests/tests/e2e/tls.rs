//! Over TLS: a township's own authority, certificates that have expired or aren't trusted.

use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_core::sync::{HttpTransport, SyncError, TransportError};
use doorstep_tests::harness::{TestServer, add_household, sync, try_sync};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority and a server certificate of it for 127.0.0.1, good until a year.
struct Identity {
    root: Vec<u8>,
    config: rustls::ServerConfig,
}

fn identity(until_year: i32) -> Identity {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    let certificate = params.signed_by(&key, &authority).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    Identity { root: authority.der().to_vec(), config }
}

/// TLS before a server, as a proxy would do it.
fn tls_before(server: &TestServer, config: rustls::ServerConfig) -> SocketAddr {
    let listener = server.runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, target) = (listener.local_addr().unwrap(), server.address);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server.runtime().spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut phone) = acceptor.accept(socket).await else { return };
                let Ok(mut behind) = TcpStream::connect(target).await else { return };
                let _ = copy_bidirectional(&mut phone, &mut behind).await;
            });
        }
    });
    address
}

/// A sync over TLS with this server certificate; `trusted`: the phone knows its authority.
fn sync_over(until_year: i32, trusted: bool) -> Result<(), TransportError> {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    add_household(&phone, server.villages[0], "0001", "李四");
    let identity = identity(until_year);
    let address = tls_before(&server, identity.config);
    let roots = if trusted { vec![identity.root] } else { Vec::new() };
    phone.use_transport(Arc::new(HttpTransport::trusting(&format!("https://{address}"), &roots).unwrap()));
    match try_sync(&phone) {
        Ok(report) => {
            assert_eq!(report.changes_acknowledged, 1);
            Ok(())
        }
        Err(SyncError::Transport(error)) => {
            assert_eq!(phone.counts().unwrap().unsent, 1, "what waits still waits");
            Err(error)
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_phone_syncs_over_tls_with_the_township_s_own_authority() {
    assert_eq!(sync_over(2099, true), Ok(()));
}

#[test]
fn a_certificate_out_of_its_time_is_told_as_a_wrong_clock_and_not_as_a_network_error() {
    assert_eq!(sync_over(2016, true), Err(TransportError::ClockWrong));
}

#[test]
fn a_certificate_of_an_unknown_authority_is_never_accepted() {
    assert_eq!(sync_over(2099, false), Err(TransportError::Certificate));
}
