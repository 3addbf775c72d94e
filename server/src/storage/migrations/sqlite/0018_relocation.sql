-- What moved a record that is about nothing: where it lay on a day follows from these rows, by day, kind and source. `kind`:
-- 0 where it lay at first, 1 an event (`source`: its record), 2 the office (`source`: its place in the feed). A row with
-- `only_from` moves what lies there by then.
CREATE TABLE relocation (
    record_no INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    source BLOB NOT NULL,
    from_day TEXT NOT NULL,
    only_from BLOB,
    area BLOB NOT NULL,
    PRIMARY KEY (record_no, kind, source)
) WITHOUT ROWID;
INSERT INTO relocation (record_no, kind, source, from_day, only_from, area)
    SELECT p.record_no, 0, zeroblob(16), '', NULL, p.area FROM placement p JOIN record r ON r.no = p.record_no
    WHERE r.subject IS NULL AND p.no = (SELECT min(q.no) FROM placement q WHERE q.record_no = p.record_no);
-- the low 40 bits of an entry's number are its place in the feed
INSERT INTO relocation (record_no, kind, source, from_day, only_from, area)
    SELECT p.record_no, 2, unhex(printf('%032x', p.no & 1099511627775)), p.until_day, NULL,
        coalesce((SELECT q.area FROM placement q WHERE q.record_no = p.record_no AND q.no > p.no ORDER BY q.no LIMIT 1), r.area)
    FROM placement p JOIN record r ON r.no = p.record_no WHERE r.subject IS NULL;
