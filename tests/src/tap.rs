//! A way to a service in this process that keeps all that comes down it.

use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::id::TenantKey;
use doorstep_core::protocol::enrol::EnrolAgainBody;
use doorstep_core::protocol::{Hello, ReplyDecoder};
use doorstep_core::sync::{Cancel, Reply, Transport, TransportError};
use doorstep_server::service::{Refused, ReplyStream, Service};

/// What came down, frame by frame, uncompressed; and whatever else the server answered.
#[derive(Debug, Default)]
pub struct Tap(Mutex<Vec<u8>>);

impl Tap {
    /// Adds an answer that came another way.
    pub fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    /// What came since it was asked last.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refused(&self, refused: &Refused) -> TransportError {
        self.add(format!("{refused} {refused:?}").as_bytes());
        TransportError::Cut
    }
}

/// A phone's way to the service.
pub struct Wire {
    service: Arc<Service>,
    tap: Arc<Tap>,
}

impl Wire {
    /// To this service, with this tap on it.
    pub fn to(service: &Arc<Service>, tap: Arc<Tap>) -> Self {
        Self { service: service.clone(), tap }
    }
}

struct Answer<'a> {
    stream: ReplyStream,
    decoder: ReplyDecoder,
    tap: &'a Tap,
}

impl Reply for Answer<'_> {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some(bytes) = self.stream.next_chunk().map_err(|refused| self.tap.refused(&refused))? else {
            return Ok(None);
        };
        for frame in self.decoder.push(&bytes).map_err(|_| TransportError::Cut)? {
            let (_, plain) = frame.encode().map_err(|_| TransportError::Cut)?;
            self.tap.add(&plain);
        }
        Ok(Some(bytes))
    }
}

impl Transport for Wire {
    fn exchange(&self, request: Vec<u8>, _: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        let signed = Hello::decode(&request).ok().flatten().ok_or(TransportError::Cut)?;
        let rest = request[signed.length..].to_vec();
        let exchange = self.service.admit(signed).map_err(|refused| self.tap.refused(&refused))?;
        let stream = exchange.run(&rest).map_err(|refused| self.tap.refused(&refused))?;
        let tenant_key = TenantKey(self.service.secrets.tenant_key);
        let decoder = ReplyDecoder::new(tenant_key).map_err(|_| TransportError::Cut)?;
        Ok(Box::new(Answer { stream, decoder, tap: &self.tap }))
    }

    fn enrol_again(&self, _: &EnrolAgainBody, _: &Cancel) -> Result<(), TransportError> {
        Err(TransportError::Unreachable)
    }
}
