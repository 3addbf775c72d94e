-- The audit log: only ever appended, each row chained to the one before. `audit_head` says where it ends, so that rows
-- missing at the end show too. The triggers keep programs and hands from changing it by mistake; the chain shows the rest.
CREATE TABLE audit (
    no INTEGER PRIMARY KEY,
    chain BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    township BLOB,
    subjects TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), no INTEGER NOT NULL, chain BLOB NOT NULL);
INSERT INTO audit_head (id, no, chain) VALUES (1, 0, zeroblob(16));
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only appended'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only appended'); END;
CREATE TRIGGER audit_in_order BEFORE INSERT ON audit WHEN NEW.no <= (SELECT coalesce(max(no), 0) FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended'); END;
