-- Rowid tables throughout (rows over 1 KB in WITHOUT ROWID tables double the file). Times are milliseconds since 1970.

-- Single values: enrolment, branch, counters, positions, scope digest.
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value);

CREATE TABLE area (
    area BLOB NOT NULL PRIMARY KEY,
    parent BLOB,
    level TEXT NOT NULL,
    code TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL
);
CREATE INDEX area_parent ON area (parent);

-- A record: what it is, where it is, and what lists need of it (a cache, rebuilt from its changes).
CREATE TABLE record (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    key BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    -- 1: something that the server sent could not be taken; the next fill tries again
    stuck INTEGER NOT NULL DEFAULT 0,
    -- own changes without a final state
    unsent INTEGER NOT NULL DEFAULT 0,
    differences INTEGER NOT NULL DEFAULT 0,
    persons INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '',
    day TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '',
    label TEXT NOT NULL DEFAULT '',
    search TEXT NOT NULL DEFAULT ''
);
CREATE INDEX record_list ON record (type, area, label, no);
CREATE INDEX record_type_label ON record (type, label, no);
CREATE INDEX record_subject ON record (subject, type) WHERE subject IS NOT NULL;
CREATE INDEX record_differences ON record (type, no) WHERE differences > 0;

-- The source of truth: raw changes. state: 0 local, 1 in a batch, 2 acknowledged or delivered, 3 waiting on the server,
-- 4 quarantined, 5 superseded (made anew; kept as evidence), 6 denied. branch: set on this device's own changes.
-- origin: on own changes, what the record's row says, so that a damaged row of it can be made again (see salvage).
CREATE TABLE change (
    no INTEGER PRIMARY KEY,
    record INTEGER NOT NULL REFERENCES record (no),
    hash BLOB NOT NULL,
    state INTEGER NOT NULL,
    branch INTEGER,
    received_ms INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    origin BLOB,
    bytes BLOB NOT NULL,
    UNIQUE (record, hash)
);
CREATE INDEX change_open ON change (state, no) WHERE state <> 2;

-- Signed uploads, kept 30 days of server time after they were acknowledged. state: 0 pending, 1 acknowledged, 2 set aside.
-- entries: record, incarnation and hash of each change, 52 bytes each, in the order of the batch.
CREATE TABLE batch (
    no INTEGER PRIMARY KEY,
    branch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state INTEGER NOT NULL,
    closed_ms INTEGER NOT NULL DEFAULT 0,
    hash BLOB NOT NULL,
    digest BLOB NOT NULL,
    entries BLOB NOT NULL,
    upload BLOB NOT NULL,
    UNIQUE (branch, number)
);
CREATE INDEX batch_state ON batch (state, no);

-- The server's word that it held changes, kept 30 days of server time. bring_from: entries from this one on are to be
-- brought back to a rewound server; NULL: none.
CREATE TABLE receipt (
    no INTEGER PRIMARY KEY,
    as_of INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    bring_from INTEGER,
    tag BLOB NOT NULL,
    entries BLOB NOT NULL
);
CREATE INDEX receipt_as_of ON receipt (as_of);
CREATE INDEX receipt_bring ON receipt (no) WHERE bring_from IS NOT NULL;

-- The refill that is under way, at most one. done: receipt number and the entries up to which it covers each.
CREATE TABLE refill (digest BLOB NOT NULL PRIMARY KEY, changes INTEGER NOT NULL, upload BLOB NOT NULL, done BLOB NOT NULL);

-- Older points of the feed, thinned exponentially.
CREATE TABLE point (seq INTEGER PRIMARY KEY, chain BLOB NOT NULL);

CREATE TABLE grant_entry (
    grant_no INTEGER PRIMARY KEY,
    role TEXT NOT NULL,
    area BLOB NOT NULL,
    subject BLOB,
    active INTEGER NOT NULL
);
CREATE TABLE fill (grant_no INTEGER PRIMARY KEY, after INTEGER NOT NULL, closed INTEGER NOT NULL);

CREATE TABLE draft (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    form TEXT NOT NULL,
    version INTEGER NOT NULL,
    subject BLOB,
    record BLOB,
    opened_ms INTEGER NOT NULL
);
-- The heads that the helper was shown: one row a record of the form instance.
CREATE TABLE draft_heads (draft INTEGER NOT NULL, record BLOB NOT NULL, heads BLOB NOT NULL, PRIMARY KEY (draft, record));
-- The journal of answers; of each key the newest row counts. value is JSON.
CREATE TABLE draft_answer (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    draft INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX draft_answer_draft ON draft_answer (draft, no);
