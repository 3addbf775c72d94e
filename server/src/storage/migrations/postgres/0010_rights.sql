-- Grants: until when one holds, for whom somebody stands in, and when the entry was made.
ALTER TABLE grant_entry ADD COLUMN until_ms BIGINT, ADD COLUMN stand_in_for BYTEA, ADD COLUMN at_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX grant_subject ON grant_entry (tenant, subject) WHERE subject IS NOT NULL;
CREATE INDEX grant_until ON grant_entry (tenant, until_ms) WHERE until_ms IS NOT NULL;

-- What areas were before they changed: name, code, level and parent up to (without) the day.
CREATE TABLE area_past (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    area BYTEA NOT NULL,
    until_day TEXT NOT NULL,
    parent BYTEA,
    level TEXT NOT NULL,
    code TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL,
    PRIMARY KEY (tenant, township, area, until_day)
);
-- Areas that ended, and the one that they went into.
ALTER TABLE area ADD COLUMN ended_day TEXT, ADD COLUMN merged_into BYTEA;

CREATE TABLE unit (
    tenant BYTEA NOT NULL,
    id BYTEA NOT NULL,
    name TEXT NOT NULL,
    sends BOOLEAN NOT NULL,
    is_responsible BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

-- Where records lay before they moved: in `area` before `until_day`. `seq` is the move's entry in the feed.
DROP TABLE placement;
CREATE TABLE placement (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    record BYTEA NOT NULL,
    area BYTEA NOT NULL,
    until_day TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, seq)
);
CREATE INDEX placement_record ON placement (tenant, township, record);
CREATE INDEX placement_area ON placement (tenant, township, area, seq);

-- A part of a form instance is about what the instance is about; only parts of instances about nothing are about these.
UPDATE record r SET subject = c.subject FROM record c
WHERE position('.' IN r.type) > 0 AND c.tenant = r.tenant AND c.township = r.township AND c.id = r.subject AND c.subject IS NOT NULL;

-- The state that a record is in, as its events say.
ALTER TABLE record ADD COLUMN state TEXT NOT NULL DEFAULT 'open';
