-- Who sent a letter, encrypted to a key this server does not have; and who had a record opened, each entry with the
-- hash of the one before it.
CREATE TABLE web_sealed (
  letter_id TEXT NOT NULL PRIMARY KEY,    -- of a letter that may be forgotten long before
  key_name TEXT NOT NULL,                 -- the month whose key opens it, or "case-NUMBER"
  record BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX web_sealed_key ON web_sealed (key_name);

CREATE TABLE web_audit (
  n INTEGER NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  entry TEXT NOT NULL,
  previous BLOB NOT NULL,
  hash BLOB NOT NULL
) STRICT;

-- On one line each: migrations are cut at semicolons that end a line.
CREATE TRIGGER web_audit_kept BEFORE DELETE ON web_audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TRIGGER web_audit_fixed BEFORE UPDATE ON web_audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
