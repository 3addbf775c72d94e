//! The phone's SQLite database: drafts, records, the outbox, and where the phone stands with the server.
//!
//! Methods are coarse: one method, one transaction. Changes as received are the truth; the columns that lists show are a
//! cache. The draft journal survives the process being killed (synchronous=NORMAL); finishing, batches and what came from
//! the server survive a power cut (FULL). All methods block and may be called from several threads.
//!
//! To add a table or column: a new numbered file in `migrations/`, a line in `open::MIGRATIONS`, and its reading in
//! `salvage`. Files that stand in `migrations/` never change.

mod connection;
mod content;
mod delivery;
mod draft;
mod error;
mod forms;
mod grants;
mod open;
mod outbox;
mod position;
mod read;
mod redo;
mod refill;
mod refused;
mod remake;
mod salvage;
mod scope;
mod sealed;
#[cfg(test)]
mod tests;
mod wipe;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Entropy};
use crate::form::Catalog;
use crate::id::{AreaId, DeviceId, RecordId, RecordIdMaker, TenantId, UserId};

pub use delivery::DeliveryReport;
pub use draft::{DraftId, DraftRow, FinishPlan, Finished, PlannedDocument};
pub use error::{Notice, OpenError, Result, StoreError};
pub use forms::FormsReport;
pub use outbox::{PendingUpload, StatusReport};
pub use position::SyncState;
pub use read::{Counts, ListFilter, RefusedRow, Row};
pub use refused::RefusedUpload;
pub use remake::RemakeReport;
pub use salvage::Saved;

/// What a store is given.
#[derive(Clone)]
pub struct OpenOptions {
    /// The phone's clock: makes claims, decides nothing.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and branches.
    pub entropy: Arc<dyn Entropy>,
}

/// An opened store.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What the person should be told.
    pub notices: Vec<Notice>,
}

/// Who this phone is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Whose data.
    pub tenant: TenantId,
    /// Key of natural record ids.
    pub tenant_key: [u8; 32],
    /// Whose feed the phone reads.
    pub township: AreaId,
    /// The phone.
    pub device: DeviceId,
    /// The person.
    pub user: UserId,
    /// Their name.
    pub user_name: String,
    /// Seed of the phone's Ed25519 key.
    pub signing_seed: [u8; 32],
    /// Where the server is.
    pub server_url: String,
    /// The server's long-lived Ed25519 identity.
    pub server_identity: [u8; 32],
    /// The server's word for all this, shown to a restored server that has forgotten the phone.
    #[serde(default)]
    pub certificate: Option<crate::protocol::enrol::SignedCertificate>,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Enrolment {{ device: {}, .. }}", self.device)
    }
}

/// The phone's database.
pub struct Store {
    connections: connection::Connections,
    tools: connection::Tools,
    ids: RecordIdMaker,
    dir: PathBuf,
    /// The published forms, once they were asked for.
    forms: Mutex<Option<Arc<Catalog>>>,
}

impl Store {
    /// A fresh random id for a record without natural key.
    pub fn new_record_id(&self) -> RecordId {
        self.ids.next_id()
    }

    /// Moves the log into the file and closes; the folder can be opened again. Dropping the store without this loses
    /// nothing.
    pub fn close(self) -> Result<()> {
        self.connections.close()
    }

    /// Lets the database grow by so many bytes only, as on a disk that is nearly full.
    #[cfg(test)]
    pub(crate) fn leave_bytes(&self, bytes: u64) -> Result<()> {
        self.connections.with_writer(|db| {
            let pages: u32 = db.query_row("PRAGMA page_count", [], |r| r.get(0))?;
            let size: u32 = db.query_row("PRAGMA page_size", [], |r| r.get(0))?;
            let most = u64::from(pages) + bytes / u64::from(size);
            Ok(db.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?)
        })
    }

    fn in_transaction<T>(
        &self,
        durability: connection::Durability,
        f: impl FnOnce(&mut connection::Work<'_>) -> Result<T>,
    ) -> Result<T> {
        self.connections.write(durability, &self.tools, f)
    }
}
