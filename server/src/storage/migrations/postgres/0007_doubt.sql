-- Doubtful answers: which rule a merged record breaks, and since when. `no` is of the feed's counter `doubts`; entries are
-- closed, never deleted. No answer stands here. The records' counts start anew: entries come with a record's next merge, or
-- when the server looks through all of them.
ALTER TABLE feed ADD COLUMN doubts BIGINT NOT NULL DEFAULT 0;
CREATE TABLE doubt (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    record BYTEA NOT NULL,
    key TEXT NOT NULL,
    question TEXT NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    form TEXT NOT NULL,
    version BIGINT NOT NULL,
    change BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    closed_ms BIGINT,
    PRIMARY KEY (tenant, township, no)
);
CREATE INDEX doubt_record ON doubt (tenant, township, record);
CREATE INDEX doubt_open ON doubt (tenant, township, no) WHERE closed_ms IS NULL;
UPDATE record SET doubts = 0 WHERE doubts <> 0;
