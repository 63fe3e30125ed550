-- What anybody notified as unlawful, and what was decided about it; see ../sqlite/0009_notices.sql.
CREATE TABLE web_notice (
  id TEXT PRIMARY KEY,
  secret_hash BYTEA NOT NULL UNIQUE,
  at BIGINT NOT NULL,
  language TEXT NOT NULL,
  item TEXT NOT NULL,
  grounds TEXT NOT NULL,
  name TEXT NOT NULL,
  mail TEXT NOT NULL,
  children BIGINT NOT NULL,
  outcome TEXT,
  reason TEXT NOT NULL DEFAULT '',
  decided BIGINT
);

CREATE INDEX web_notice_waiting ON web_notice (at) WHERE outcome IS NULL;
