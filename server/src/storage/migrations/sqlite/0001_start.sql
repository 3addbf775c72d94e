-- A server's database: one tenant. Numbers that pack a township and a sequence are `township.no << 40 | seq`, so that the
-- rows of a township lie together in the order of its feed and its birth order needs no index.

CREATE TABLE secret (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE setting (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A township with its feed: counter, chain and digest of all its changes.
CREATE TABLE township (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    areas_version INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL DEFAULT 0,
    chain BLOB NOT NULL,
    changes INTEGER NOT NULL DEFAULT 0,
    digest_sum INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE area (
    no INTEGER PRIMARY KEY,
    township_no INTEGER NOT NULL,
    id BLOB NOT NULL,
    parent BLOB,
    level TEXT NOT NULL,
    code TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL,
    UNIQUE (township_no, id)
);

CREATE TABLE user (id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE grant_entry (
    user BLOB NOT NULL,
    seq INTEGER NOT NULL,
    chain BLOB NOT NULL,
    grant_no INTEGER NOT NULL,
    role TEXT NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    active INTEGER NOT NULL,
    PRIMARY KEY (user, seq)
) WITHOUT ROWID;

CREATE TABLE invitation (
    secret_hash BLOB NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    township_no INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    device BLOB
) WITHOUT ROWID;

CREATE TABLE device (
    id BLOB NOT NULL PRIMARY KEY,
    user BLOB NOT NULL,
    township_no INTEGER NOT NULL,
    public_key BLOB NOT NULL,
    enrolled_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    last_sync_ms INTEGER NOT NULL,
    previous_sync_ms INTEGER NOT NULL,
    feed_seq INTEGER NOT NULL
) WITHOUT ROWID;

-- The part of a cut upload that arrived.
CREATE TABLE upload (device BLOB NOT NULL PRIMARY KEY, digest BLOB NOT NULL, staged_ms INTEGER NOT NULL, bytes BLOB NOT NULL);

CREATE TABLE batch (
    device BLOB NOT NULL,
    branch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    digest BLOB NOT NULL,
    signature BLOB NOT NULL,
    signed BLOB NOT NULL,
    outcomes BLOB NOT NULL,
    manifest BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    UNIQUE (device, branch, number)
);

-- What lists, filters and scopes need of a record; small rows, because figures and fills scan them. `no` is the township
-- and the feed number of the record's first change.
CREATE TABLE record (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    township_no INTEGER NOT NULL,
    type TEXT NOT NULL,
    key BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    heads BLOB NOT NULL,
    changes INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    title TEXT NOT NULL,
    label TEXT NOT NULL,
    status TEXT NOT NULL,
    persons INTEGER NOT NULL,
    day TEXT NOT NULL,
    differences INTEGER NOT NULL,
    doubts INTEGER NOT NULL,
    UNIQUE (id, township_no)
);
CREATE INDEX record_area ON record (area);
CREATE INDEX record_subject ON record (subject);

-- The large parts of a record's projection.
CREATE TABLE record_text (record_no INTEGER PRIMARY KEY, json TEXT NOT NULL, search TEXT NOT NULL);

-- A compressed snapshot of a record up to the change `upto`.
CREATE TABLE snapshot (record_no INTEGER PRIMARY KEY, upto INTEGER NOT NULL, bytes BLOB NOT NULL);

-- Where records were before they moved; where they are now stands in the record.
CREATE TABLE placement (
    record_no INTEGER NOT NULL,
    area BLOB NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL
);
CREATE INDEX placement_record ON placement (record_no);

-- The feed: `no` is the township and the feed number. Kind 1 is a change.
CREATE TABLE change (
    no INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    record_no INTEGER NOT NULL,
    chain BLOB NOT NULL,
    hash BLOB NOT NULL,
    device BLOB,
    received_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (record_no, hash)
);

-- Changes that wait for the changes that they build on.
CREATE TABLE waiting (
    no INTEGER PRIMARY KEY,
    township_no INTEGER NOT NULL,
    device BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    record BLOB NOT NULL,
    hash BLOB NOT NULL,
    type TEXT NOT NULL,
    key BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    reason TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (record, hash, township_no)
);
CREATE INDEX waiting_device ON waiting (device);

-- Changes that were refused, as evidence; never deleted.
CREATE TABLE quarantine (
    no INTEGER PRIMARY KEY,
    township_no INTEGER NOT NULL,
    device BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    record BLOB NOT NULL,
    hash BLOB NOT NULL,
    type TEXT NOT NULL,
    key BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    reason TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (record, hash, device)
);
CREATE INDEX quarantine_township ON quarantine (township_no);
CREATE INDEX quarantine_device ON quarantine (device);
