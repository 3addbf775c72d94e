-- What moved a record that is about nothing: where it lay on a day follows from these rows, by day, kind and source. `kind`:
-- 0 where it lay at first, 1 an event (`source`: its record), 2 the office (`source`: its place in the feed). A row with
-- `only_from` moves what lies there by then.
CREATE TABLE relocation (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    record BYTEA NOT NULL,
    kind BIGINT NOT NULL,
    source BYTEA NOT NULL,
    from_day TEXT NOT NULL,
    only_from BYTEA,
    area BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, record, kind, source)
);
INSERT INTO relocation (tenant, township, record, kind, source, from_day, only_from, area)
    SELECT p.tenant, p.township, p.record, 0, decode(repeat('00', 16), 'hex'), '', NULL, p.area
    FROM placement p JOIN record r ON r.tenant = p.tenant AND r.township = p.township AND r.id = p.record
    WHERE r.subject IS NULL AND p.seq = (SELECT min(q.seq) FROM placement q
        WHERE q.tenant = p.tenant AND q.township = p.township AND q.record = p.record);
INSERT INTO relocation (tenant, township, record, kind, source, from_day, only_from, area)
    SELECT p.tenant, p.township, p.record, 2, decode(lpad(to_hex(p.seq), 32, '0'), 'hex'), p.until_day, NULL,
        coalesce((SELECT q.area FROM placement q WHERE q.tenant = p.tenant AND q.township = p.township
            AND q.record = p.record AND q.seq > p.seq ORDER BY q.seq LIMIT 1), r.area)
    FROM placement p JOIN record r ON r.tenant = p.tenant AND r.township = p.township AND r.id = p.record
    WHERE r.subject IS NULL;
