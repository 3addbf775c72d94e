-- Imports of the register. Devices and records are noted before they are written, so that an interrupted import can be undone
-- too; `created` says that the import made the record.
CREATE TABLE register_import (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    kind TEXT NOT NULL,
    file_name TEXT NOT NULL,
    file_hash BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    started_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    changed_ms BIGINT NOT NULL,
    summary TEXT NOT NULL,
    PRIMARY KEY (tenant, township, no)
);

CREATE TABLE register_device (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    device BYTEA NOT NULL,
    no BIGINT NOT NULL,
    undoes BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, township, device)
);

CREATE TABLE register_record (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    record BYTEA NOT NULL,
    created BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, township, no, record)
);

-- How the columns of a table with these headers were understood.
CREATE TABLE register_columns (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    kind TEXT NOT NULL,
    headers BYTEA NOT NULL,
    mapping TEXT NOT NULL,
    PRIMARY KEY (tenant, township, kind, headers)
);
