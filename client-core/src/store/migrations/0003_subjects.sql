-- Records about several subjects: the further ones of a draft, in order, and which records name which subjects.
CREATE TABLE draft_subject (no INTEGER PRIMARY KEY, draft INTEGER NOT NULL, subject BLOB NOT NULL);
CREATE INDEX draft_subject_draft ON draft_subject (draft, no);
CREATE TABLE about (subject BLOB NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (subject, record)) WITHOUT ROWID;
CREATE INDEX about_record ON about (record);
