//! Use cases: what the server does with a request, whoever brings it. No SQL and no HTTP here.

pub mod committer;
pub mod exchange;
pub mod forms;
pub mod merge;
pub mod office;
pub mod people;
pub mod projection;
pub mod refused;
mod refused_upload;
pub mod reply;
pub mod view;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use doorstep_core::clock::{Clock, Entropy, random};
use doorstep_core::fault;
use doorstep_core::id::{DeviceId, TenantId, TenantKey};

use crate::metrics::Metrics;
use crate::storage::{Secrets, Storage, StorageError};
pub use committer::Committer;
pub use exchange::Exchange;
pub use refused::Refused;
pub use reply::ReplyStream;

/// The server's core: storage, secrets and what it remembers between requests (caches only).
pub struct Service {
    /// The database.
    pub storage: Arc<dyn Storage>,
    /// The tenant's secrets.
    pub secrets: Secrets,
    /// The server's clock.
    pub clock: Arc<dyn Clock>,
    /// The server's randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    committer: Committer,
    counters: Mutex<HashMap<DeviceId, u64>>,
    /// Replies that may still take a large compression window.
    bulk_left: Arc<AtomicUsize>,
    catalog: forms::CatalogCache,
}

impl Service {
    /// Opens the service on a database; makes the tenant's secrets on first use.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        committer: Committer,
    ) -> Result<Arc<Self>, StorageError> {
        let fresh = Secrets {
            tenant: TenantId(random(&*entropy)),
            tenant_key: random(&*entropy),
            chain_key: random(&*entropy),
            receipt_key: random(&*entropy),
            session_key: random(&*entropy),
            identity_seed: random(&*entropy),
        };
        let secrets = storage.secrets(&fresh)?;
        let metrics = Arc::new(Metrics::default());
        Ok(Arc::new(Self {
            storage,
            secrets,
            clock,
            entropy,
            metrics,
            committer,
            counters: Mutex::default(),
            bulk_left: Arc::new(AtomicUsize::new(reply::BULK_MAX)),
            catalog: forms::CatalogCache::default(),
        }))
    }

    /// The key of natural record ids.
    pub fn tenant_key(&self) -> TenantKey {
        TenantKey(self.secrets.tenant_key)
    }

    /// True while a restored server waits for an administrator: nobody reads, pushes go on.
    pub fn reads_closed(&self) -> Result<bool, StorageError> {
        Ok(self.storage.setting(crate::storage::READS_CLOSED)?.as_deref() == Some("1"))
    }

    /// Takes a hello's counter; `Err` gives the last one seen when it isn't larger.
    fn take_counter(&self, device: DeviceId, durable: u64, counter: u64) -> Result<(), u64> {
        let mut counters = self.counters.lock().unwrap_or_else(|e| e.into_inner());
        let last = counters.entry(device).or_insert(durable);
        if counter <= *last && !fault::bug("take_counter_twice") {
            return Err(*last);
        }
        *last = counter;
        Ok(())
    }
}
