//! HTTP by reqwest with rustls, driven on a small runtime of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::runtime::Runtime;

use super::transport::{Cancel, Reply, Transport, TransportError};
use crate::protocol;
use crate::protocol::enrol::{ENROL_AGAIN_PATH, ENROL_PATH, EnrolAgainBody, EnrolAnswer, EnrolBody, proof_message};

/// How long connecting may take on a bad link.
const CONNECT: Duration = Duration::from_secs(30);
/// Silence after which a reply counts as stalled.
const IDLE: Duration = Duration::from_secs(60);
/// A connection without a request for so long is used no more: servers and networks close them without a word.
const CONNECTION_IDLE: Duration = Duration::from_secs(20);
/// Bytes that are read of an error's body and of the answer to an enrolment; ours have a few hundred.
const SMALL_BODY_MAX: usize = 16 << 10;
/// How long such a body may take.
const SMALL_BODY_WAIT: Duration = Duration::from_secs(60);
/// How often a waiting call looks whether it was cancelled.
const CANCEL_LOOK: Duration = Duration::from_millis(100);

/// Exchanges over HTTP or HTTPS.
pub struct HttpTransport {
    runtime: Runtime,
    client: reqwest::Client,
    base: String,
}

impl HttpTransport {
    /// A transport to the server at `base`, such as `https://township.example`.
    pub fn new(base: &str) -> Result<Self, TransportError> {
        Self::trusting(base, &[])
    }

    /// Like [`HttpTransport::new`]; also trusts these root certificates (DER), such as a township's own authority.
    pub fn trusting(base: &str, own_roots: &[Vec<u8>]) -> Result<Self, TransportError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| TransportError::Unreachable)?;
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in own_roots {
            roots.add(root.clone().into()).map_err(|_| TransportError::Certificate)?;
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| TransportError::Certificate)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .pool_idle_timeout(CONNECTION_IDLE)
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy()
            .build()
            .map_err(|_| TransportError::Unreachable)?;
        Ok(Self { runtime, client, base: base.trim_end_matches('/').to_owned() })
    }

    /// Registers a key with a one-time code.
    pub fn enrol(&self, code: &str, key: &SigningKey) -> Result<EnrolAnswer, TransportError> {
        let public_key = key.verifying_key().to_bytes();
        let proof = key.sign(&proof_message(code, &public_key)).to_bytes();
        let body = EnrolBody {
            code: code.to_owned(),
            public_key: HEXLOWER.encode(&public_key),
            proof: HEXLOWER.encode(&proof),
        };
        let body = serde_json::to_vec(&body).map_err(|_| TransportError::Unreachable)?;
        let request =
            self.client.post(format!("{}{ENROL_PATH}", self.base)).header(CONTENT_TYPE, "application/json").body(body);
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|e| classify(&e))?;
            if !response.status().is_success() {
                return Err(refusal(response).await);
            }
            let bytes = small_body(response).await?;
            serde_json::from_slice(&bytes).map_err(|_| TransportError::CaptivePortal)
        })
    }

    fn wait<T>(
        &self,
        cancel: &Cancel,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        self.runtime.block_on(async {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    result = &mut work => return result,
                    () = tokio::time::sleep(CANCEL_LOOK) => {
                        if cancel.is_cancelled() {
                            return Err(TransportError::Cancelled);
                        }
                    }
                }
            }
        })
    }
}

impl Transport for HttpTransport {
    fn exchange(&self, request: Vec<u8>, cancel: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        let request = self
            .client
            .post(format!("{}{}", self.base, protocol::SYNC_PATH))
            .header(CONTENT_TYPE, protocol::CONTENT_TYPE)
            .body(request);
        let response = self.wait(cancel, async {
            let response = request.send().await.map_err(|e| classify(&e))?;
            let ours = response.headers().get(CONTENT_TYPE).is_some_and(|t| t == protocol::CONTENT_TYPE);
            match response.status().as_u16() {
                200 if ours => Ok(response),
                200..=399 | 511 => Err(TransportError::CaptivePortal),
                _ => Err(refusal(response).await),
            }
        })?;
        Ok(Box::new(HttpReply { transport: self, response, cancel: cancel.clone() }))
    }

    fn enrol_again(&self, shown: &EnrolAgainBody, cancel: &Cancel) -> Result<(), TransportError> {
        let body = serde_json::to_vec(shown).map_err(|_| TransportError::Unreachable)?;
        let url = format!("{}{ENROL_AGAIN_PATH}", self.base);
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        self.wait(cancel, async {
            let response = request.send().await.map_err(|e| classify(&e))?;
            if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
        })
    }
}

struct HttpReply<'a> {
    transport: &'a HttpTransport,
    response: reqwest::Response,
    cancel: Cancel,
}

impl Reply for HttpReply<'_> {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let response = &mut self.response;
        let chunk: Option<Bytes> =
            self.transport.wait(&self.cancel, async { response.chunk().await.map_err(|e| classify(&e)) })?;
        Ok(chunk.map(Vec::from))
    }
}

/// A body that should be small. One that isn't doesn't come from the server.
async fn small_body(mut response: reqwest::Response) -> Result<Vec<u8>, TransportError> {
    let reading = async {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e))? {
            if body.len() + chunk.len() > SMALL_BODY_MAX {
                return Err(TransportError::CaptivePortal);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(SMALL_BODY_WAIT, reading).await.unwrap_or(Err(TransportError::Timeout))
}

/// The server's error body, or a proxy's.
async fn refusal(response: reqwest::Response) -> TransportError {
    let status = response.status().as_u16();
    let retry_after_s = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let body = small_body(response).await.unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = json["error"]["code"].as_str().unwrap_or("unknown").to_owned();
    let last_counter = json["error"]["details"]["last"].as_u64();
    TransportError::Refused { status, code, last_counter, retry_after_s }
}

fn classify(error: &reqwest::Error) -> TransportError {
    if let Some(rustls::Error::InvalidCertificate(problem)) = tls_cause(error) {
        use rustls::CertificateError as C;
        return match problem {
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
                TransportError::ClockWrong
            }
            _ => TransportError::Certificate,
        };
    }
    if error.is_timeout() {
        TransportError::Timeout
    } else if error.is_connect() {
        TransportError::Unreachable
    } else {
        TransportError::Cut
    }
}

/// The TLS error below an error. An `io::Error` doesn't name what it wraps as its source: it has to be opened.
fn tls_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => tls_cause(wrapped),
        None => error.source().and_then(tls_cause),
    }
}
