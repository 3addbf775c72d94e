//! How bytes reach the server: HTTP in service, memory in the simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::protocol::enrol::EnrolAgainBody;

/// Stops a sync from another thread. Clones share the mark.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the sync to stop; what arrived whole stays.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an exchange failed on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No network, no name, no answer to the connection.
    #[error("the server can't be reached")]
    Unreachable,
    /// The connection broke under way.
    #[error("the connection was cut")]
    Cut,
    /// Nothing came for too long.
    #[error("the server took too long")]
    Timeout,
    /// Somebody else answered: a sign-in page of the network (captive portal).
    #[error("the network asks for a sign-in first")]
    CaptivePortal,
    /// The certificate isn't valid at the phone's time: the clock is probably wrong.
    #[error("the phone's clock seems wrong, so the server's certificate can't be checked")]
    ClockWrong,
    /// The certificate isn't trusted.
    #[error("the server's certificate isn't trusted")]
    Certificate,
    /// The server refused the request as a whole.
    #[error("the server refused the request: {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// For `stale_counter`: the last counter that the server saw.
        last_counter: Option<u64>,
        /// Seconds to wait, if the server said.
        retry_after_s: Option<u32>,
    },
    /// Cancelled from outside.
    #[error("cancelled")]
    Cancelled,
}

impl TransportError {
    /// True when trying again may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable | Self::Cut | Self::Timeout => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 408 || *status == 429,
            Self::CaptivePortal | Self::ClockWrong | Self::Certificate | Self::Cancelled => false,
        }
    }
}

/// A reply under way.
pub trait Reply {
    /// The next bytes; `None` at the end.
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError>;
}

/// Carries exchanges.
pub trait Transport: Send + Sync {
    /// Sends a request body and gives the reply's body as it arrives.
    fn exchange(&self, request: Vec<u8>, cancel: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError>;

    /// Shows the server's own words to a server that has forgotten the phone or its user's grants.
    fn enrol_again(&self, shown: &EnrolAgainBody, cancel: &Cancel) -> Result<(), TransportError>;
}
