-- A letter that somebody sent. No address of theirs, no agent, no text: only what a status page needs.
CREATE TABLE web_letter (
  id TEXT NOT NULL PRIMARY KEY,
  secret_hash BLOB NOT NULL UNIQUE,       -- SHA-256 of the status link's secret, which is stored nowhere
  language TEXT NOT NULL,
  signature TEXT NOT NULL,
  created INTEGER NOT NULL,               -- milliseconds since 1970, rounded down to five minutes
  message_id TEXT,                        -- the relay's, once it has the letter
  refused INTEGER NOT NULL DEFAULT 0      -- 1: the relay will never take it
) STRICT, WITHOUT ROWID;

CREATE INDEX web_letter_by_age ON web_letter (created);

-- What the relay does not have yet; the row is deleted in the transaction that notes that it has.
CREATE TABLE web_handover (
  letter_id TEXT NOT NULL PRIMARY KEY REFERENCES web_letter (id),
  due INTEGER NOT NULL,                   -- milliseconds since 1970: when to try (again)
  attempts INTEGER NOT NULL DEFAULT 0,
  sender TEXT NOT NULL,
  sender_name TEXT NOT NULL,
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL,
  html TEXT NOT NULL
) STRICT;

CREATE INDEX web_handover_due ON web_handover (due);
