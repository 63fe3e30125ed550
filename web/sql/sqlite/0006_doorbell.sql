-- First contact by doorbell: letters that wait to be asked for, and mailboxes that have asked for one.
CREATE TABLE web_waiting (
  letter_id TEXT NOT NULL PRIMARY KEY,
  until INTEGER NOT NULL,
  sender_name TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL                   -- the words, without the address they are for
) STRICT, WITHOUT ROWID;

CREATE INDEX web_waiting_until ON web_waiting (until);

CREATE TABLE web_known (
  mailbox BLOB NOT NULL PRIMARY KEY,      -- keyed hash of the canonical address
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
