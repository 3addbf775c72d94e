-- Households that went to another township of the server: which one keeps them now, and how far of this feed it was given.
CREATE TABLE away (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    household BYTEA NOT NULL,
    to_township BYTEA NOT NULL,
    upto BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, household)
);
CREATE INDEX away_household ON away (tenant, household, to_township);
