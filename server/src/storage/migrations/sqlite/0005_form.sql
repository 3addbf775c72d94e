-- The log of forms: an entry publishes a version (with its definition, packed whole, and packed as a difference against the
-- version whose hash is `base`) or changes whether it is retired (without). Entries are only ever appended.
CREATE TABLE form_log (
    no INTEGER PRIMARY KEY,
    chain BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    retired INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    definition BLOB,
    base BLOB,
    difference BLOB
);
