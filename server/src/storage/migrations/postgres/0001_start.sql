-- Tenant and township come first in every key, so that Citus can distribute by tenant. Ids and times are made by the
-- program; there is no sequence and no trigger.

CREATE TABLE secret (tenant BYTEA NOT NULL, name TEXT NOT NULL, value BYTEA NOT NULL, PRIMARY KEY (tenant, name));
CREATE TABLE setting (tenant BYTEA NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tenant, name));

-- A township with its feed: counter, chain and digest of all its changes; `refused` numbers the quarantine.
CREATE TABLE feed (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    areas_version BIGINT NOT NULL DEFAULT 0,
    seq BIGINT NOT NULL DEFAULT 0,
    chain BYTEA NOT NULL,
    changes BIGINT NOT NULL DEFAULT 0,
    digest_sum BIGINT NOT NULL DEFAULT 0,
    refused BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, township)
);

CREATE TABLE area (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    area BYTEA NOT NULL,
    parent BYTEA,
    level TEXT NOT NULL,
    code TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL,
    PRIMARY KEY (tenant, township, area)
);

CREATE TABLE app_user (tenant BYTEA NOT NULL, id BYTEA NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL, PRIMARY KEY (tenant, id));

CREATE TABLE grant_entry (
    tenant BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    chain BYTEA NOT NULL,
    grant_no BIGINT NOT NULL,
    role TEXT NOT NULL,
    area BYTEA NOT NULL,
    subject BYTEA,
    active BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, user_id, seq)
);

CREATE TABLE invitation (
    tenant BYTEA NOT NULL,
    secret_hash BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    township BYTEA NOT NULL,
    until_ms BIGINT NOT NULL,
    device BYTEA,
    PRIMARY KEY (tenant, secret_hash)
);

CREATE TABLE device (
    tenant BYTEA NOT NULL,
    id BYTEA NOT NULL,
    user_id BYTEA NOT NULL,
    township BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    enrolled_ms BIGINT NOT NULL,
    revoked BOOLEAN NOT NULL,
    counter BIGINT NOT NULL,
    last_sync_ms BIGINT NOT NULL,
    previous_sync_ms BIGINT NOT NULL,
    feed_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX device_township ON device (tenant, township);

-- The part of a cut upload that arrived.
CREATE TABLE upload (
    tenant BYTEA NOT NULL,
    device BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    staged_ms BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (tenant, device)
);

CREATE TABLE batch (
    tenant BYTEA NOT NULL,
    device BYTEA NOT NULL,
    branch BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    signed BYTEA NOT NULL,
    manifest BYTEA NOT NULL,
    outcomes BYTEA NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, device, branch, number)
);

-- A record with its projection, and a compressed snapshot of it up to the change `snapshot_upto`. `born` is the feed number
-- of its first change.
CREATE TABLE record (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    id BYTEA NOT NULL,
    born BIGINT NOT NULL,
    type TEXT NOT NULL,
    key BYTEA NOT NULL,
    incarnation BIGINT NOT NULL,
    area BYTEA NOT NULL,
    subject BYTEA,
    heads BYTEA NOT NULL,
    changes BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    title TEXT NOT NULL,
    label TEXT NOT NULL,
    status TEXT NOT NULL,
    persons BIGINT NOT NULL,
    day TEXT NOT NULL,
    differences BIGINT NOT NULL,
    doubts BIGINT NOT NULL,
    json TEXT NOT NULL,
    search TEXT NOT NULL,
    snapshot_upto BIGINT NOT NULL DEFAULT 0,
    snapshot BYTEA,
    PRIMARY KEY (tenant, township, id)
);
CREATE INDEX record_born ON record (tenant, township, born);
CREATE INDEX record_area ON record (tenant, township, area, born);
CREATE INDEX record_subject ON record (tenant, township, subject) WHERE subject IS NOT NULL;
CREATE INDEX record_id ON record (tenant, id);

-- Where records were before they moved; where they are now stands in the record.
CREATE TABLE placement (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    record BYTEA NOT NULL,
    area BYTEA NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, record, from_ms)
);

-- The feed's entries. Kind 1 is a change.
CREATE TABLE change (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    record BYTEA NOT NULL,
    chain BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    device BYTEA,
    received_ms BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, seq),
    UNIQUE (tenant, township, record, hash)
);

-- Changes that wait for the changes that they build on.
CREATE TABLE waiting (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    record BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    device BYTEA NOT NULL,
    received_ms BIGINT NOT NULL,
    type TEXT NOT NULL,
    key BYTEA NOT NULL,
    incarnation BIGINT NOT NULL,
    area BYTEA NOT NULL,
    subject BYTEA,
    reason TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, record, hash)
);
CREATE INDEX waiting_device ON waiting (tenant, device);

-- Changes that were refused, as evidence; never deleted.
CREATE TABLE quarantine (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    record BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    device BYTEA NOT NULL,
    received_ms BIGINT NOT NULL,
    type TEXT NOT NULL,
    key BYTEA NOT NULL,
    incarnation BIGINT NOT NULL,
    area BYTEA NOT NULL,
    subject BYTEA,
    reason TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, no),
    UNIQUE (tenant, township, record, hash, device)
);
CREATE INDEX quarantine_device ON quarantine (tenant, device);
CREATE INDEX quarantine_record ON quarantine (tenant, record, hash);
