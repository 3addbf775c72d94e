-- Grants that are to be given from a time on.
CREATE TABLE planned_grant (
    no INTEGER PRIMARY KEY,
    township BLOB NOT NULL,
    from_ms INTEGER NOT NULL,
    user BLOB NOT NULL,
    role TEXT NOT NULL,
    area BLOB NOT NULL,
    household BLOB,
    until_ms INTEGER,
    stand_in_for BLOB,
    anew INTEGER NOT NULL
);
