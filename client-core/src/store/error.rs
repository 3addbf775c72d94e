//! Why the store refuses, by what the caller can do.

use std::path::PathBuf;

use crate::messages::wiped_text;
use crate::protocol::DecodeError;
use crate::record::EditError;

/// Why the database could not be opened. Its file was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Made by a newer program.
    #[error("the database has schema {found}, this program knows up to {known}: install the newer program again")]
    Newer {
        /// Version in the file.
        found: u32,
        /// Newest version that this program knows.
        known: u32,
    },
    /// The folder can't be used.
    #[error("the data folder can't be used")]
    Folder(#[from] std::io::Error),
    /// No room.
    #[error("the phone's storage is full: free space (the reserve of 8 MiB) or delete photos or apps, then open again")]
    Full,
    /// SQLite refused.
    #[error("the database can't be opened")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Database(error) }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Database(error) | StoreError::Damaged(error) => Self::Database(error),
            _ => Self::Database(rusqlite::Error::InvalidQuery),
        }
    }
}

/// True where there is no room: on a full disk an opening already fails when it makes the shared memory's file.
fn is_full(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|e| e.extended_code);
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// Why the store could not do its work. Nothing of the failed call was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room. Work on the phone is intact: call [`super::Store::free_ballast`], try again, and ask the person to make room.
    #[error(
        "the phone's storage is full: nothing was lost; free space (the reserve of 8 MiB), finish, sync, then make room"
    )]
    Full,
    /// The file is damaged. Close and open again: the readable part is salvaged.
    #[error("the phone's database is damaged: close and open it again to save what is readable")]
    Damaged(#[source] rusqlite::Error),
    /// Not enrolled yet.
    #[error("the phone isn't enrolled yet")]
    NotEnrolled,
    /// The phone was reported lost and has erased itself. Open it again, and enrol it anew if it was found.
    #[error("the phone was reported lost and has erased itself")]
    Wiped,
    /// Enrolled as another device already.
    #[error("the phone is enrolled already")]
    AlreadyEnrolled,
    /// No such draft.
    #[error("there is no such draft")]
    NoDraft,
    /// A plan without documents.
    #[error("nothing was planned to be written")]
    NothingPlanned,
    /// The document is another kind of record on this phone.
    #[error("the record on this phone is of another kind")]
    Identity,
    /// The answers can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Bytes can't be encoded or decoded.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The server gave another number of states than the batch has changes.
    #[error("the server's states don't fit the batch")]
    StatusCount,
    /// A stored value has an impossible form.
    #[error("a stored value can't be read: {0}")]
    Stored(&'static str),
    /// A file could not be erased; the next opening goes on.
    #[error("a file could not be erased: {0}")]
    Files(std::io::ErrorKind),
    /// SQLite refused.
    #[error("the database refused a statement")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            _ if is_full(&error) => Self::Full,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Damaged(error),
            _ => Self::Database(error),
        }
    }
}

/// Short form of results here.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What the person should be told about an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The database was damaged; it was set aside, and what could be read was saved into a new one.
    Salvaged {
        /// Where the damaged file is now.
        set_aside: PathBuf,
        /// What was saved.
        saved: super::Saved,
    },
    /// The phone was reported lost and has erased itself; it can be enrolled anew.
    Wiped,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (set_aside, saved) = match self {
            Self::Salvaged { set_aside, saved } => (set_aside, saved),
            Self::Wiped => return write!(f, "{} {}", wiped_text("zh"), wiped_text("en")),
        };
        let name = set_aside.file_name().unwrap_or_default().to_string_lossy();
        write!(
            f,
            "本机数据库已损坏，原文件保留为 {name}；已救回草稿 {} 份、未上报的修改 {} 条、记录 {} 条。请同步一次补齐其余内容。 ",
            saved.drafts, saved.unsent, saved.records
        )?;
        write!(
            f,
            "The database was damaged and is kept as {name}; saved: {} drafts, {} unsent changes, {} records. Sync once to get the rest.",
            saved.drafts, saved.unsent, saved.records
        )
    }
}
