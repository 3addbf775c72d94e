-- Households that went to another township of the server: which one keeps them now, and how far of this feed it was given.
CREATE TABLE away (
    township_no INTEGER NOT NULL,
    household BLOB NOT NULL,
    to_township BLOB NOT NULL,
    upto INTEGER NOT NULL,
    PRIMARY KEY (township_no, household)
) WITHOUT ROWID;
CREATE INDEX away_household ON away (household, to_township);
