-- What a device has shown to know in its requests; it can't know less later. What an older request said doesn't count.
ALTER TABLE device ADD COLUMN known_feed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN known_grants INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN known_areas INTEGER NOT NULL DEFAULT 0;

-- What areas lay below before a version of the township's areas.
CREATE TABLE area_hung (
    township_no INTEGER NOT NULL,
    version INTEGER NOT NULL,
    area BLOB NOT NULL,
    parent BLOB,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (township_no, version, area)
) WITHOUT ROWID;
