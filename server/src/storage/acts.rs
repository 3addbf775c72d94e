//! Acts: what people and the server change beside records, written in one transaction with the entries of the audit log
//! that say so. Neither stands without the other.

use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, DeviceId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Position};

use super::register::ImportState;
use super::{
    AreaChange, AuditEntry, Away, Decision, Device, FormChange, Grant, PlannedGrant, Result, StorageError, TownshipId,
    Unit, User, WipeStep,
};

/// Makes the entry of an act from what only its transaction knows.
pub type EntryOf<'a, T> = &'a (dyn Fn(&T) -> AuditEntry + Sync);

/// One thing that an act writes. Those that say *if* stand or fall with it: where it isn't so, nothing of the act is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Areas, as [`super::Storage::put_areas`].
    Areas(TownshipId, Vec<AreaEntry>),
    /// An area from a day on; what it was goes into its past, and the version of the table is raised.
    ChangeArea(TownshipId, AreaChange),
    /// People.
    Users(Vec<User>),
    /// Units.
    Units(Vec<Unit>),
    /// Entries of a person's log of grants, as [`super::Storage::append_grants`].
    Grants(UserId, Vec<Grant>),
    /// A setting.
    Setting(String, String),
    /// An invitation; its secret itself isn't kept.
    Invitation {
        /// SHA-256 of its secret.
        secret_hash: [u8; 32],
        /// For whom.
        user: UserId,
        /// Where.
        township: TownshipId,
        /// Until when.
        until_ms: Millis,
    },
    /// A device.
    Device(Device),
    /// A device is shut out, if it is known.
    Revoke(DeviceId),
    /// A phone is reported lost, if it is known and isn't reported.
    Lost(DeviceId, Millis),
    /// A lost phone's report is withdrawn, if it is reported and hasn't said that it erases itself.
    Withdrawn(DeviceId, Millis),
    /// A step of a phone's erasing, if it wasn't noted and the phone is or was reported lost.
    Wipe(DeviceId, WipeStep, Millis),
    /// What became of quarantined changes.
    Decided(TownshipId, Vec<u64>, Decision, Millis),
    /// An entry of the log of forms, if the log still ends there. Its chain is HMAC-SHA-256(chain key, "doorstep/form/1", previous
    /// chain, name, version, hash, retired), first 16 bytes.
    Form(Position, FormChange),
    /// Where an import stands; the text replaces what was counted.
    Import(TownshipId, u64, ImportState, Millis, Option<String>),
    /// What an import of a list wrote for a row: number, row, JSON.
    ImportItem(TownshipId, u64, u64, String),
    /// A row of such an import was undone.
    ItemUndone(TownshipId, u64, u64),
    /// An area goes that nothing refers to, with its past.
    RemoveArea(TownshipId, AreaId),
    /// An area as it was, without what its past says until this day.
    RestoreArea(TownshipId, AreaEntry, Option<String>),
    /// A person goes, if nobody has invited or enrolled a phone of theirs.
    RemovePerson(UserId),
    /// A unit goes.
    RemoveUnit([u8; 16]),
    /// A grant is to be given from a time on; its number is given here.
    Plan(PlannedGrant),
    /// Such a grant isn't to be given any more, or is given now, if there is one of this number.
    Unplan(u64),
    /// A household that is at home in this township goes to another one.
    Leave(TownshipId, Away),
    /// A household that went from this township is at home in another one now.
    Away(TownshipId, Away),
    /// A household is at home in this township again.
    Home(TownshipId, RecordId),
}

/// An *if* isn't so: undoes the transaction.
#[derive(Debug, thiserror::Error)]
#[error("not all of it could be taken")]
pub(super) struct NotTaken;

impl NotTaken {
    /// An error unless a write's *if* was so.
    pub(super) fn unless(taken: bool) -> Result<()> {
        if taken { Ok(()) } else { Err(StorageError::Other(Box::new(Self))) }
    }

    /// False for an act that was undone because its *if* wasn't so.
    pub(super) fn taken(done: Result<()>) -> Result<bool> {
        match done {
            Err(StorageError::Other(error)) if error.is::<Self>() => Ok(false),
            done => done.map(|()| true),
        }
    }
}

/// The acts' part of a storage.
pub trait ActStorage {
    /// Writes all of an act and its entries in one durable transaction; false, and nothing is written, where an *if* isn't so.
    fn act(&self, writes: &[Write], entries: &[AuditEntry]) -> Result<bool>;
}
