-- What imports of areas, people and pairings wrote, with what was there before, by the table's row; gone once it is undone.
CREATE TABLE register_item (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    row_no BIGINT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (tenant, township, no, row_no)
);
