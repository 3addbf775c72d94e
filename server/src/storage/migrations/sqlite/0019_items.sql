-- What imports of areas, people and pairings wrote, with what was there before, by the table's row; gone once it is undone.
CREATE TABLE register_item (
    township_no INTEGER NOT NULL,
    no INTEGER NOT NULL,
    row INTEGER NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (township_no, no, row)
) WITHOUT ROWID;
