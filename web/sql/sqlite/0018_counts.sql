-- How often limits were used, in the place of web_use: nothing here tells which rows one letter has made. Rows stand in
-- the order of hashes under keys that are in memory only, and times are full hours (of a minute's limit: the minute).
CREATE TABLE web_count (
  hash BLOB NOT NULL,
  lot BLOB NOT NULL,                      -- drawn for each row
  at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  who BLOB,                               -- of a recipient's row: a sender, under another hash for each recipient
  PRIMARY KEY (hash, lot)
) STRICT, WITHOUT ROWID;

CREATE INDEX web_count_until ON web_count (until);
