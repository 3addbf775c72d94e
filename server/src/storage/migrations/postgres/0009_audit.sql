-- The audit log: only ever appended, each row chained to the one before. `audit_head` says where it ends, so that rows
-- missing at the end show too; its row is the lock of whoever appends. The triggers keep programs and hands from changing
-- the log by mistake; the chain shows the rest.
CREATE TABLE audit (
    tenant BYTEA NOT NULL,
    no BIGINT NOT NULL,
    chain BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    township BYTEA,
    subjects TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (tenant, no)
);
CREATE TABLE audit_head (tenant BYTEA NOT NULL PRIMARY KEY, no BIGINT NOT NULL, chain BYTEA NOT NULL);
CREATE FUNCTION audit_only_appended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only appended';
END
$$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_appended();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_appended();
