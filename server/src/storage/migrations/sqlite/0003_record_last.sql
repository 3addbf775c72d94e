-- A record's newest change, so that news of an area or a subject are found without walking the feed.
ALTER TABLE record ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
UPDATE record SET last = (SELECT coalesce(max(c.no), record.no) FROM change c WHERE c.record_no = record.no);
DROP INDEX record_area;
DROP INDEX record_subject;
CREATE INDEX record_area_last ON record (area, last);
CREATE INDEX record_subject_last ON record (subject, last);
