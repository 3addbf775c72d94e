-- Records are opened from their changes, which is faster than from a snapshot of their own.
DROP TABLE snapshot;
