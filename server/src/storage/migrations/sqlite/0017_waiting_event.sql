-- Finished events in the life of households from which something doesn't follow yet, filed in the transaction that stores the
-- event. `filed` is where the feed stood then: whoever tried an earlier filing leaves a later one alone. `waits_for`: the
-- record with which it is tried again.
CREATE TABLE waiting_event (
    township_no INTEGER NOT NULL,
    event BLOB NOT NULL,
    author BLOB NOT NULL,
    reason TEXT NOT NULL,
    waits_for BLOB,
    since_ms INTEGER NOT NULL,
    filed INTEGER NOT NULL,
    PRIMARY KEY (township_no, event)
) WITHOUT ROWID;
CREATE INDEX waiting_event_for ON waiting_event (township_no, waits_for);
