-- Doubtful answers: which rule a merged record breaks, and since when. `no` is the township and a number in it; entries are
-- closed, never deleted. No answer stands here. The records' counts start anew: entries come with a record's next merge, or
-- when the server looks through all of them.
CREATE TABLE doubt (
    no INTEGER PRIMARY KEY,
    record_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    question TEXT NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    form TEXT NOT NULL,
    version INTEGER NOT NULL,
    change_no INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER
);
CREATE INDEX doubt_record ON doubt (record_no);
CREATE INDEX doubt_open ON doubt (no) WHERE closed_ms IS NULL;
UPDATE record SET doubts = 0 WHERE doubts <> 0;
