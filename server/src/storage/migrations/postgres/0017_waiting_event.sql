-- Finished events in the life of households from which something doesn't follow yet, filed in the transaction that stores the
-- event. `filed` is where the feed stood then: whoever tried an earlier filing leaves a later one alone. `waits_for`: the
-- record with which it is tried again.
CREATE TABLE waiting_event (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    event BYTEA NOT NULL,
    author BYTEA NOT NULL,
    reason TEXT NOT NULL,
    waits_for BYTEA,
    since_ms BIGINT NOT NULL,
    filed BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, event)
);
CREATE INDEX waiting_event_for ON waiting_event (tenant, township, waits_for);
