//! Use cases: what the server does with a request, whoever brings it. No SQL and no HTTP here.

pub mod acts;
pub mod attempts;
pub mod audit;
pub mod committer;
pub mod desk;
pub mod differences;
mod doubts;
pub mod duplicates;
pub mod erasure;
pub mod exchange;
pub mod figures;
pub mod forms;
pub mod giving;
pub mod grants;
pub mod invitations;
pub mod life;
pub mod links;
pub mod lost;
pub mod masked;
pub mod merge;
pub mod office;
pub mod people;
pub mod projection;
pub mod quarantine;
mod refresh;
pub mod refused;
mod refused_upload;
pub mod reply;
pub mod rights;
mod steps;
pub mod view;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorstep_core::clock::{Clock, Entropy, random};
use doorstep_core::fault;
use doorstep_core::id::{DeviceId, TenantId, TenantKey};

use crate::metrics::Metrics;
use crate::storage::{Device, Secrets, Storage, StorageError, TownshipId};
pub use committer::Committer;
pub use exchange::Exchange;
use merge::{Merge, Sender};
pub use refused::Refused;
pub use reply::ReplyStream;

/// How long a look at the database counts: whoever asks often doesn't make it write often.
const READY_FOR: Duration = Duration::from_secs(1);

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
    /// When the database was last looked at, and whether it was ready.
    looked: Mutex<Option<(Instant, bool)>>,
    /// Replies that may still take a large compression window.
    bulk_left: Arc<AtomicUsize>,
    catalog: forms::CatalogCache,
    refreshed: refresh::LastRefresh,
    refused_sign_ins: audit::RefusedSignIns,
    /// Who brings records from one township to another.
    carriers: Mutex<HashMap<TownshipId, Device>>,
    /// Invitation codes that were tried lately.
    attempts: attempts::Attempts,
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
        let service = Arc::new(Self {
            storage,
            secrets,
            clock,
            entropy,
            metrics,
            committer,
            counters: Mutex::default(),
            carriers: Mutex::default(),
            looked: Mutex::default(),
            bulk_left: Arc::new(AtomicUsize::new(reply::BULK_MAX)),
            catalog: forms::CatalogCache::default(),
            refreshed: refresh::LastRefresh::default(),
            refused_sign_ins: audit::RefusedSignIns::default(),
            attempts: attempts::Attempts::default(),
        });
        service.keep_figures()?;
        Ok(service)
    }

    /// The key of natural record ids.
    pub fn tenant_key(&self) -> TenantKey {
        TenantKey(self.secrets.tenant_key)
    }

    /// Starts a merge of what a sender brings, by the forms there are.
    pub fn merge<'a>(&'a self, sender: Sender<'a>, counter: u64, received_ms: u64) -> Result<Merge<'a>, StorageError> {
        let merge = Merge::new(&*self.storage, sender, counter, received_ms);
        Ok(merge.by_forms(self.forms_seen()?, self.tenant_key()))
    }

    /// True while a restored server waits for an administrator: nobody reads, pushes go on.
    pub fn reads_closed(&self) -> Result<bool, StorageError> {
        Ok(self.storage.setting(crate::storage::READS_CLOSED)?.as_deref() == Some("1"))
    }

    /// True when the database answered and took a write, at most a second ago, and pushes can be committed.
    pub fn is_ready(&self, now: Instant) -> bool {
        if !self.committer.is_alive() {
            return false;
        }
        let mut looked = self.looked.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((at, ready)) = *looked
            && now.saturating_duration_since(at) < READY_FOR
        {
            return ready;
        }
        let ready = self.storage.ping();
        if let Err(error) = &ready {
            tracing::error!(error = error as &dyn std::error::Error, "the database isn't ready");
        }
        *looked = Some((now, ready.is_ok()));
        ready.is_ok()
    }

    /// Takes a hello's counter; `Err` gives the last one seen when it isn't larger.
    fn take_counter(&self, device: DeviceId, durable: u64, counter: u64) -> Result<(), u64> {
        let mut counters = self.counters.lock().unwrap_or_else(|e| e.into_inner());
        let last = counters.entry(device).or_default();
        // another server process on the same database may have seen a later one
        *last = durable.max(*last);
        if counter <= *last && !fault::bug("take_counter_twice") {
            return Err(*last);
        }
        *last = counter;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use doorstep_core::clock::{ManualClock, SeededEntropy};

    use super::*;
    use crate::storage::SqliteStorage;

    fn service(path: &std::path::Path) -> Arc<Service> {
        let storage = Arc::new(SqliteStorage::open(path).unwrap());
        Service::open(storage, Arc::new(ManualClock::at(1)), Arc::new(SeededEntropy::new(1)), Committer::Inline)
            .unwrap()
    }

    #[test]
    fn asking_often_whether_it_is_ready_makes_the_database_write_once_a_second() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("doorstep.db");
        let service = service(&path);
        let watcher = rusqlite::Connection::open(&path).unwrap();
        let version = || watcher.pragma_query_value(None, "data_version", |r| r.get::<_, i64>(0)).unwrap();
        let (now, before) = (Instant::now(), version());
        assert!(service.is_ready(now));
        let first = version();
        assert_ne!(first, before, "a look at the database writes");
        assert!(service.is_ready(now + READY_FOR / 2));
        assert_eq!(version(), first);
        assert!(service.is_ready(now + READY_FOR));
        assert_ne!(version(), first);
    }

    #[test]
    fn a_request_that_another_server_process_has_seen_is_not_taken_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let (service, device) = (service(&dir.path().join("doorstep.db")), DeviceId([1; 16]));
        assert_eq!(service.take_counter(device, 0, 5), Ok(()));
        // request 9 went to the other process, which noted it in the database
        assert_eq!(service.take_counter(device, 9, 9), Err(9));
        assert_eq!(service.take_counter(device, 9, 10), Ok(()));
    }
}
