-- Figures, see docs/decisions/0016-figures.md. All but the frozen reports can be made again from the records, and are made when
-- the program starts on a database whose setting `figures_rules` says otherwise.

-- From which day on a record stands for how many persons; empty where it stands for none.
ALTER TABLE record ADD COLUMN steps TEXT NOT NULL DEFAULT '';

-- What a record adds to figures: where, as what, for which periods (bits of `stands`) it stands for its household.
CREATE TABLE figure_line (
    record_no INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    day TEXT NOT NULL,
    round TEXT NOT NULL,
    area BLOB NOT NULL,
    status TEXT NOT NULL,
    persons INTEGER NOT NULL,
    counts INTEGER NOT NULL,
    late INTEGER NOT NULL,
    stands INTEGER NOT NULL,
    open_area BLOB,
    differing INTEGER NOT NULL,
    doubtful INTEGER NOT NULL
);
CREATE INDEX figure_line_area ON figure_line (area, type, day);
CREATE INDEX figure_line_open ON figure_line (open_area) WHERE open_area IS NOT NULL;

-- Where a household lay from which day until which (not included), with how many persons.
CREATE TABLE figure_stay (
    record_no INTEGER NOT NULL,
    from_day TEXT NOT NULL,
    until_day TEXT NOT NULL,
    area BLOB NOT NULL,
    counts INTEGER NOT NULL,
    persons INTEGER NOT NULL,
    status TEXT NOT NULL,
    type TEXT NOT NULL,
    PRIMARY KEY (record_no, from_day)
) WITHOUT ROWID;
CREATE INDEX figure_stay_area ON figure_stay (area, from_day);

-- Sums of lines and stays.
CREATE TABLE figure (
    township_no INTEGER NOT NULL,
    area BLOB NOT NULL,
    period TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    records INTEGER NOT NULL,
    late INTEGER NOT NULL,
    households INTEGER NOT NULL,
    persons INTEGER NOT NULL,
    PRIMARY KEY (township_no, area, period, type, status)
) WITHOUT ROWID;

-- Reports that stay as they were, with the lists behind their figures. Never changed. `no` is the township and a number in it.
CREATE TABLE frozen_report (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    period TEXT NOT NULL,
    as_of TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    areas TEXT NOT NULL
);
CREATE TABLE frozen_entry (
    report_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    record_no INTEGER NOT NULL,
    record BLOB NOT NULL,
    subject BLOB,
    type TEXT NOT NULL,
    area BLOB NOT NULL,
    status TEXT NOT NULL,
    day TEXT NOT NULL,
    persons INTEGER NOT NULL,
    late INTEGER NOT NULL,
    household INTEGER NOT NULL,
    PRIMARY KEY (report_no, kind, record_no)
) WITHOUT ROWID;
