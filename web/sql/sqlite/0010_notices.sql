-- What anybody notified as unlawful (Digital Services Act, article 16), and what was decided about it.
CREATE TABLE web_notice (
  id TEXT NOT NULL PRIMARY KEY,
  secret_hash BLOB NOT NULL UNIQUE,       -- SHA-256 of the secret of the page where its author reads the decision
  at INTEGER NOT NULL,
  language TEXT NOT NULL,
  item TEXT NOT NULL,                     -- which letter or page; deleted with name and mail half a year after the decision
  grounds TEXT NOT NULL,
  name TEXT NOT NULL,
  mail TEXT NOT NULL,
  children INTEGER NOT NULL,              -- 1: about the sexual abuse of children, which may be notified without a name
  outcome TEXT,                           -- upheld or dismissed; NULL while it waits
  reason TEXT NOT NULL DEFAULT '',
  decided INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX web_notice_waiting ON web_notice (at) WHERE outcome IS NULL;
