-- Phones that were reported lost: when, when they were told to erase themselves, when they said that they do (0: not yet).
CREATE TABLE lost_device (
    device BLOB NOT NULL PRIMARY KEY,
    reported_ms INTEGER NOT NULL,
    told_ms INTEGER NOT NULL,
    wiped_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- What became of a quarantined change: 0 open, 1 released, 2 discarded.
ALTER TABLE quarantine ADD COLUMN decision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN decided_ms INTEGER NOT NULL DEFAULT 0;
