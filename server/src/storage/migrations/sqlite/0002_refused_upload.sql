-- Uploads that were refused as a whole, as evidence: one row for the same bytes of a device, counted. Bounded by device:
-- of old rows the bytes go first (`kept` is 0 then), the oldest rows after that.
CREATE TABLE refused_upload (
    no INTEGER PRIMARY KEY,
    township_no INTEGER NOT NULL,
    device BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL,
    branch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    reason TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    bytes BLOB,
    UNIQUE (device, digest)
);
CREATE INDEX refused_upload_township ON refused_upload (township_no);
