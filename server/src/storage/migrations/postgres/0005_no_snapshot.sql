-- Records are opened from their changes, which is faster than from a snapshot of their own.
ALTER TABLE record DROP COLUMN snapshot_upto;
ALTER TABLE record DROP COLUMN snapshot;
