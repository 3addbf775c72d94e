-- What kept batches held of records that aren't here any more, sealed to the server: parts of a batch's record, see
-- protocol/sealed.rs. place: which of the batch's records, counted from 0. changes: their hashes, 32 bytes each, in order.
-- The batch's upload holds only what isn't sealed; a part goes with its batch.
CREATE TABLE sealed (
    no INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES batch (no),
    place INTEGER NOT NULL,
    record BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    changes BLOB NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX sealed_batch ON sealed (batch, place);
CREATE INDEX sealed_record ON sealed (record);
