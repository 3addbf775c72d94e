-- Imports of the register. Devices and records are noted before they are written, so that an interrupted import can be undone
-- too; `created` says that the import made the record.
CREATE TABLE register_import (
    township_no INTEGER NOT NULL,
    no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    file_name TEXT NOT NULL,
    file_hash BLOB NOT NULL,
    user BLOB NOT NULL,
    started_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    summary TEXT NOT NULL,
    PRIMARY KEY (township_no, no)
) WITHOUT ROWID;

CREATE TABLE register_device (
    township_no INTEGER NOT NULL,
    device BLOB NOT NULL,
    no INTEGER NOT NULL,
    undoes INTEGER NOT NULL,
    PRIMARY KEY (township_no, device)
) WITHOUT ROWID;

CREATE TABLE register_record (
    township_no INTEGER NOT NULL,
    no INTEGER NOT NULL,
    record BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (township_no, no, record)
) WITHOUT ROWID;

-- How the columns of a table with these headers were understood.
CREATE TABLE register_columns (
    township_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    headers BLOB NOT NULL,
    mapping TEXT NOT NULL,
    PRIMARY KEY (township_no, kind, headers)
) WITHOUT ROWID;
