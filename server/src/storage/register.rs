//! Imports of the register: what each wrote, so that it can be listed and undone, and how its columns were understood.

use doorstep_core::clock::Millis;
use doorstep_core::id::{DeviceId, RecordId, UserId};

use super::{EntryOf, Result, TownshipId};

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    /// Under way, or interrupted: the same file again goes on with it.
    Running,
    /// All written.
    Done,
    /// Being undone, or interrupted in that.
    Undoing,
    /// Undone.
    Undone,
}

impl ImportState {
    /// The name in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    /// From the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Undoing, Self::Undone].into_iter().find(|s| s.as_str() == name)
    }
}

/// An import to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// What was imported: `households`, `areas`, `people`, `pairings`.
    pub kind: String,
    /// The file's name, without folder.
    pub file_name: String,
    /// SHA-256 of the file and of how it is read.
    pub file_hash: [u8; 32],
    /// Who imports.
    pub user: UserId,
    /// When.
    pub started_ms: Millis,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// Its number in the township, from 1.
    pub no: u64,
    /// What it is.
    pub import: NewImport,
    /// Where it stands.
    pub state: ImportState,
    /// When that state began.
    pub changed_ms: Millis,
    /// What was counted, a JSON object.
    pub summary: String,
}

/// A device that wrote for an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportDevice {
    /// The import.
    pub no: u64,
    /// The device.
    pub device: DeviceId,
    /// Whether it undid the import.
    pub undoes: bool,
}

/// What the register's import keeps beside the records.
pub trait RegisterStorage {
    /// Begins an import, or goes on with the one of the same file that is still running.
    /// One that begins now is noted in the audit log with it.
    fn begin_import(
        &self,
        township: TownshipId,
        import: &NewImport,
        begun: EntryOf<'_, ImportRow>,
    ) -> Result<ImportRow>;
    /// Notes, before it writes, that a device writes for an import.
    fn note_import_device(&self, township: TownshipId, device: ImportDevice) -> Result<()>;
    /// Notes, before they are written, which records an import touches; true for those that it makes. One that was noted before
    /// stays as it was.
    fn note_import_records(&self, township: TownshipId, no: u64, records: &[(RecordId, bool)]) -> Result<()>;
    /// Imports, the newest first, before a number; at most 500.
    fn imports(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<ImportRow>>;
    /// The records of an import by id, after one; true for those that it made.
    fn import_records(
        &self,
        township: TownshipId,
        no: u64,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<(RecordId, bool)>>;
    /// All devices that wrote for imports.
    fn import_devices(&self, township: TownshipId) -> Result<Vec<ImportDevice>>;
    /// How the columns of a table with these headers were understood last time: a JSON object.
    fn column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32]) -> Result<Option<String>>;
    /// Remembers it.
    fn put_column_mapping(&self, township: TownshipId, kind: &str, headers: [u8; 32], mapping: &str) -> Result<()>;
}
