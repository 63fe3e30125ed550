-- What recipients report, which network is kept from which recipient, and how often limits were used.
CREATE TABLE web_report (
  letter_id TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  mailbox BLOB NOT NULL,                  -- keyed hash of the canonical address
  rule TEXT NOT NULL,
  words TEXT NOT NULL,                    -- what the recipient attached; deleted with the decision
  outcome TEXT                            -- upheld or dismissed; NULL while it waits, and mail to the mailbox with it
) STRICT, WITHOUT ROWID;

CREATE INDEX web_report_waiting ON web_report (mailbox) WHERE outcome IS NULL;

-- Hash of (network, mailbox) under a key that is in memory only and gone after 30 to 60 days.
ALTER TABLE web_letter ADD COLUMN pair BLOB;
ALTER TABLE web_letter ADD COLUMN off_wall INTEGER NOT NULL DEFAULT 0;  -- 1: its recipient wants it published nowhere

CREATE TABLE web_freeze (
  pair BLOB NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a use and limit; the hash is under a key that is in memory only, the time is rounded to five minutes.
CREATE TABLE web_use (
  hash BLOB NOT NULL,
  at INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT;

CREATE INDEX web_use_hash ON web_use (hash, at);
CREATE INDEX web_use_until ON web_use (until);
