//! Connections: the pool, TLS, and the limits of every session.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::NoTls;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::{Result, StorageError};
use super::other;

/// Connections at most.
const POOL_MAX: usize = 8;
/// How long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// Limits of every session, in milliseconds; a commit counts when it is on disk.
const SESSION: &str = "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000 \
    -c synchronous_commit=on";

/// A pool for an address `postgres://user:password@host/database?sslmode=require&sslrootcert=file`. With
/// `sslmode=require` (or `verify-full`) the server's certificate is always verified, against the file or else against
/// the public roots; without it the connection isn't encrypted.
pub(super) fn pool(url: &str) -> Result<Pool> {
    let (url, root_file) = take_parameter(url, "sslrootcert");
    let mut config: Config = url.replace("sslmode=verify-full", "sslmode=require").parse().map_err(other)?;
    config.options(SESSION).application_name("doorstep").connect_timeout(WAIT);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == SslMode::Require {
        Manager::from_config(config, MakeRustlsConnect::new(tls(root_file.as_deref())?), recycling)
    } else {
        config.ssl_mode(SslMode::Disable);
        Manager::from_config(config, NoTls, recycling)
    };
    Pool::builder(manager)
        .max_size(POOL_MAX)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .build()
        .map_err(other)
}

/// Takes one parameter out of an address's query.
fn take_parameter(url: &str, name: &str) -> (String, Option<String>) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut taken = None;
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some((key, value)) if key == name => {
                taken = Some(value.to_owned());
                false
            }
            _ => true,
        })
        .collect();
    (format!("{address}?{}", rest.join("&")), taken)
}

fn tls(root_file: Option<&str>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match root_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(other)? {
                roots.add(certificate.map_err(other)?).map_err(other)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| StorageError::Other(Box::new(e)))?.with_root_certificates(roots).with_no_client_auth())
}
