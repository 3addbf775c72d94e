-- Figures, see docs/decisions/0016-figures.md. All but the frozen reports can be made again from the records, and are made when
-- the program starts on a database whose setting `figures_rules` says otherwise.

-- From which day on a record stands for how many persons; empty where it stands for none.
ALTER TABLE record ADD COLUMN steps TEXT NOT NULL DEFAULT '';

-- What a record adds to figures: where, as what, for which periods (bits of `stands`) it stands for its household.
CREATE TABLE figure_line (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    born BIGINT NOT NULL,
    type TEXT NOT NULL,
    day TEXT COLLATE "C" NOT NULL,
    round TEXT NOT NULL,
    area BYTEA NOT NULL,
    status TEXT NOT NULL,
    persons BIGINT NOT NULL,
    counts BOOLEAN NOT NULL,
    late BOOLEAN NOT NULL,
    stands BIGINT NOT NULL,
    open_area BYTEA,
    differing BOOLEAN NOT NULL,
    doubtful BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, township, born)
);
CREATE INDEX figure_line_area ON figure_line (tenant, township, area, type, day);
CREATE INDEX figure_line_open ON figure_line (tenant, township, open_area) WHERE open_area IS NOT NULL;

-- Where a household (by its feed number) lay from which day until which (not included), with how many persons.
CREATE TABLE figure_stay (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    born BIGINT NOT NULL,
    from_day TEXT COLLATE "C" NOT NULL,
    until_day TEXT COLLATE "C" NOT NULL,
    area BYTEA NOT NULL,
    counts BOOLEAN NOT NULL,
    persons BIGINT NOT NULL,
    status TEXT NOT NULL,
    type TEXT NOT NULL,
    PRIMARY KEY (tenant, township, born, from_day)
);
CREATE INDEX figure_stay_area ON figure_stay (tenant, township, area, from_day);

-- Sums of lines and stays. Days and periods are compared byte by byte.
CREATE TABLE figure (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    area BYTEA NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    records BIGINT NOT NULL,
    late BIGINT NOT NULL,
    households BIGINT NOT NULL,
    persons BIGINT NOT NULL,
    PRIMARY KEY (tenant, township, area, period, type, status)
);

-- Reports that stay as they were, with the lists behind their figures. Never changed.
CREATE TABLE frozen_report (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    no BIGINT NOT NULL,
    name TEXT NOT NULL,
    period TEXT NOT NULL,
    as_of TEXT NOT NULL,
    made_ms BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    areas TEXT NOT NULL,
    PRIMARY KEY (tenant, township, no)
);
CREATE TABLE frozen_entry (
    tenant BYTEA NOT NULL,
    township BYTEA NOT NULL,
    report_no BIGINT NOT NULL,
    kind TEXT NOT NULL,
    born BIGINT NOT NULL,
    record BYTEA NOT NULL,
    subject BYTEA,
    type TEXT NOT NULL,
    area BYTEA NOT NULL,
    status TEXT NOT NULL,
    day TEXT COLLATE "C" NOT NULL,
    persons BIGINT NOT NULL,
    late BOOLEAN NOT NULL,
    household BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, township, report_no, kind, born)
);
