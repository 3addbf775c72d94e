-- Links as merged: caches of the records of type `link`. `record` is the link's own record, `key` its natural key (2 or 4 ids).
CREATE TABLE link (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    record BYTEA NOT NULL,
    key BYTEA NOT NULL,
    is_same BOOLEAN NOT NULL,
    is_not_same BOOLEAN NOT NULL,
    leads BYTEA,
    PRIMARY KEY (tenant, township, record)
);

-- Households that are united into others by these links.
CREATE TABLE united (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    record BYTEA NOT NULL,
    leads BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, record)
);
