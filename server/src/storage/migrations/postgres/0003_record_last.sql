-- A record's newest change, so that news of an area or a subject are found without walking the feed.
ALTER TABLE record ADD COLUMN last BIGINT NOT NULL DEFAULT 0;
UPDATE record r SET last = n.last FROM (
    SELECT tenant, township, record, max(seq) AS last FROM change GROUP BY tenant, township, record
) n WHERE n.tenant = r.tenant AND n.township = r.township AND n.record = r.id;
DROP INDEX record_area;
DROP INDEX record_subject;
CREATE INDEX record_area_last ON record (tenant, township, area, last);
CREATE INDEX record_subject_last ON record (tenant, township, subject, last) WHERE subject IS NOT NULL;
