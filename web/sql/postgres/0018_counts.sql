-- How often limits were used, in the place of web_use; see ../sqlite/0018_counts.sql.
CREATE TABLE web_count (
  hash BYTEA NOT NULL,
  lot BYTEA NOT NULL,
  at BIGINT NOT NULL,
  until BIGINT NOT NULL,
  who BYTEA,
  PRIMARY KEY (hash, lot)
);

CREATE INDEX web_count_until ON web_count (until);
