-- Phones that were reported lost: when, when they were told to erase themselves, when they said that they do (0: not yet).
CREATE TABLE lost_device (
    tenant BYTEA NOT NULL,
    device BYTEA NOT NULL,
    reported_ms BIGINT NOT NULL,
    told_ms BIGINT NOT NULL,
    wiped_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, device)
);
-- What became of a quarantined change: 0 open, 1 released, 2 discarded.
ALTER TABLE quarantine ADD COLUMN decision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN decided_ms BIGINT NOT NULL DEFAULT 0;
