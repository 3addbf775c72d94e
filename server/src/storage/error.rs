//! What can go wrong in a database.

/// Why storage could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Busy, deadlocked or disconnected: try again later.
    #[error("the database is busy or out of reach")]
    Busy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No room on the disk.
    #[error("the database's disk is full")]
    Full,
    /// The database was made by a newer program; it was not touched.
    #[error("the database has schema {found}, this program knows up to {known}: use a newer program")]
    Newer {
        /// Version in the database.
        found: u32,
        /// Newest version that this program knows.
        known: u32,
    },
    /// The file is damaged.
    #[error("the database is damaged")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the database refused a statement")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Short form of results here.
pub type Result<T> = std::result::Result<T, StorageError>;
