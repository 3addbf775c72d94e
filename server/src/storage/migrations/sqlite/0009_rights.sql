-- Grants: until when one holds, for whom somebody stands in, and when the entry was made.
ALTER TABLE grant_entry ADD COLUMN until_ms INTEGER;
ALTER TABLE grant_entry ADD COLUMN stand_in_for BLOB;
ALTER TABLE grant_entry ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX grant_subject ON grant_entry (subject) WHERE subject IS NOT NULL;
CREATE INDEX grant_until ON grant_entry (until_ms) WHERE until_ms IS NOT NULL;

-- What areas were before they changed: name, code, level and parent up to (without) the day.
CREATE TABLE area_past (
    township_no INTEGER NOT NULL,
    area BLOB NOT NULL,
    until_day TEXT NOT NULL,
    parent BLOB,
    level TEXT NOT NULL,
    code TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL,
    PRIMARY KEY (township_no, area, until_day)
);
-- Areas that ended, and the one that they went into.
ALTER TABLE area ADD COLUMN ended_day TEXT;
ALTER TABLE area ADD COLUMN merged_into BLOB;

CREATE TABLE unit (id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, sends INTEGER NOT NULL, is_responsible INTEGER NOT NULL);

-- Where records lay before they moved: in `area` before `until_day`. `no` is the move's entry in the feed.
DROP TABLE placement;
CREATE TABLE placement (
    no INTEGER PRIMARY KEY,
    record_no INTEGER NOT NULL,
    area BLOB NOT NULL,
    until_day TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX placement_record ON placement (record_no);
CREATE INDEX placement_area ON placement (area, no);

-- A part of a form instance is about what the instance is about; only parts of instances about nothing are about these.
UPDATE record SET subject = (SELECT c.subject FROM record c WHERE c.id = record.subject AND c.township_no = record.township_no)
WHERE instr(type, '.') > 0
  AND EXISTS (SELECT 1 FROM record c WHERE c.id = record.subject AND c.township_no = record.township_no AND c.subject IS NOT NULL);

-- The state that a record is in, as its events say.
ALTER TABLE record ADD COLUMN state TEXT NOT NULL DEFAULT 'open';
