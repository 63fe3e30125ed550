-- The weekly: who asked for it and confirmed, what each week held, and to whom it is still owed.
CREATE TABLE web_subscriber (
  mailbox BLOB NOT NULL PRIMARY KEY,      -- keyed hash of the canonical address
  language TEXT NOT NULL,
  sealed TEXT NOT NULL                    -- the address, encrypted under the node's link key
) STRICT, WITHOUT ROWID;

CREATE TABLE web_digest (
  week TEXT NOT NULL,                     -- ISO 8601: 2026-W47
  language TEXT NOT NULL,
  PRIMARY KEY (week, language)
) STRICT, WITHOUT ROWID;

CREATE TABLE web_digest_post (
  public_id TEXT NOT NULL PRIMARY KEY,    -- a post is in one week only
  week TEXT NOT NULL,
  language TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX web_digest_post_week ON web_digest_post (language, week);

CREATE TABLE web_mailing (
  week TEXT NOT NULL,
  language TEXT NOT NULL,
  mailbox BLOB NOT NULL,
  tried INTEGER,                          -- milliseconds since 1970: when it was first handed to the relay
  PRIMARY KEY (week, language, mailbox)
) STRICT, WITHOUT ROWID;
