-- Records about several subjects: which record names which.
CREATE TABLE about (subject BLOB NOT NULL, record_no INTEGER NOT NULL, PRIMARY KEY (subject, record_no)) WITHOUT ROWID;
CREATE INDEX about_record ON about (record_no);
