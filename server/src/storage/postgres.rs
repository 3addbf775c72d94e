//! Storage on PostgreSQL.

/// A server's PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStorage;
