-- What a device has shown to know in its requests; it can't know less later. What an older request said doesn't count.
ALTER TABLE device ADD COLUMN known_feed BIGINT NOT NULL DEFAULT 0, ADD COLUMN known_grants BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN known_areas BIGINT NOT NULL DEFAULT 0;

-- What areas lay below before a version of the township's areas.
CREATE TABLE area_hung (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    version BIGINT NOT NULL,
    area BYTEA NOT NULL,
    parent BYTEA,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, version, area)
);
