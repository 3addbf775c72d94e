-- Records about several subjects: which record names which.
CREATE TABLE about (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    subject BYTEA NOT NULL,
    record BYTEA NOT NULL,
    PRIMARY KEY (tenant, township, subject, record)
);
CREATE INDEX about_record ON about (tenant, township, record);
