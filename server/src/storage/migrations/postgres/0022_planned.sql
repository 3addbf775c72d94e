-- Grants that are to be given from a time on.
CREATE TABLE planned_grant (
    tenant BYTEA NOT NULL,
    no BIGINT NOT NULL,
    township BYTEA NOT NULL,
    from_ms BIGINT NOT NULL,
    user_id BYTEA NOT NULL,
    role TEXT NOT NULL,
    area BYTEA NOT NULL,
    household BYTEA,
    until_ms BIGINT,
    stand_in_for BYTEA,
    anew BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, no)
);
