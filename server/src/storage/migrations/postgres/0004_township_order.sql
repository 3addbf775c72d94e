-- Townships in the order in which they were made.
ALTER TABLE feed ADD COLUMN no BIGINT NOT NULL DEFAULT 0;
