-- The log of forms: an entry publishes a version (with its definition, packed whole, and packed as a difference against the
-- version whose hash is `base`) or changes whether it is retired (without). Entries are only ever appended.
CREATE TABLE form_log (
    tenant BYTEA NOT NULL,
    no BIGINT NOT NULL,
    chain BYTEA NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    retired BOOLEAN NOT NULL,
    at_ms BIGINT NOT NULL,
    definition BYTEA,
    base BYTEA,
    difference BYTEA,
    PRIMARY KEY (tenant, no)
);
