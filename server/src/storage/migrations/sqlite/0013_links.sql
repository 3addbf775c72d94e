-- Links as merged: caches of the records of type `link`. `record` is the link's own record, `key` its natural key (2 or 4 ids).
CREATE TABLE link (
    township_no INTEGER NOT NULL,
    record BLOB NOT NULL,
    key BLOB NOT NULL,
    is_same INTEGER NOT NULL,
    is_not_same INTEGER NOT NULL,
    leads BLOB,
    PRIMARY KEY (township_no, record)
) WITHOUT ROWID;

-- Households that are united into others by these links.
CREATE TABLE united (
    township_no INTEGER NOT NULL,
    record BLOB NOT NULL,
    leads BLOB NOT NULL,
    PRIMARY KEY (township_no, record)
) WITHOUT ROWID;
