-- What recipients report, which network is kept from which recipient, and how often limits were used;
-- see ../sqlite/0003_reports.sql.
CREATE TABLE web_report (
  letter_id TEXT PRIMARY KEY,
  at BIGINT NOT NULL,
  mailbox BYTEA NOT NULL,
  rule TEXT NOT NULL,
  words TEXT NOT NULL,
  outcome TEXT
);

CREATE INDEX web_report_waiting ON web_report (mailbox) WHERE outcome IS NULL;

ALTER TABLE web_letter ADD COLUMN pair BYTEA;
ALTER TABLE web_letter ADD COLUMN off_wall SMALLINT NOT NULL DEFAULT 0;

CREATE TABLE web_freeze (
  pair BYTEA PRIMARY KEY,
  at BIGINT NOT NULL
);

CREATE TABLE web_use (
  hash BYTEA NOT NULL,
  at BIGINT NOT NULL,
  until BIGINT NOT NULL
);

CREATE INDEX web_use_hash ON web_use (hash, at);
CREATE INDEX web_use_until ON web_use (until);
