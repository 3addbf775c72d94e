-- Uploads that were refused as a whole, as evidence: one row for the same bytes of a device, counted. Bounded by device:
-- of old rows the bytes go first (`kept` is 0 then), the oldest rows after that. `no` is of the feed's counter `refused`.
CREATE TABLE refused_upload (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    device BYTEA NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    times BIGINT NOT NULL,
    branch BIGINT NOT NULL,
    number BIGINT NOT NULL,
    reason TEXT NOT NULL,
    digest BYTEA NOT NULL,
    size BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    bytes BYTEA,
    PRIMARY KEY (tenant, township, no),
    UNIQUE (tenant, township, device, digest)
);
