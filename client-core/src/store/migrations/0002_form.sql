-- Published versions of forms, as the server's log tells them; never deleted, because records and drafts may name them.
-- definition: packed whole, NULL while it is missing. wanted: 0, or how often a definition that couldn't be read was asked
-- for, plus one. type: of the records that it makes. list: what lists show of them, as JSON.
CREATE TABLE form (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    retired INTEGER NOT NULL,
    published_ms INTEGER NOT NULL,
    type TEXT NOT NULL DEFAULT '',
    list TEXT NOT NULL DEFAULT '',
    wanted INTEGER NOT NULL DEFAULT 0,
    definition BLOB,
    UNIQUE (name, version)
);
CREATE INDEX form_type ON form (type, version) WHERE retired = 0;
