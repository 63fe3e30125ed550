-- Letters that were sent, and what the relay does not have yet; see ../sqlite/0001_letters.sql.
CREATE TABLE web_letter (
  id TEXT PRIMARY KEY,
  secret_hash BYTEA NOT NULL UNIQUE,
  language TEXT NOT NULL,
  signature TEXT NOT NULL,
  created BIGINT NOT NULL,
  message_id TEXT,
  refused SMALLINT NOT NULL DEFAULT 0
);

CREATE INDEX web_letter_by_age ON web_letter (created);

CREATE TABLE web_handover (
  letter_id TEXT PRIMARY KEY REFERENCES web_letter (id),
  due BIGINT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  sender TEXT NOT NULL,
  sender_name TEXT NOT NULL,
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL,
  html TEXT NOT NULL
);

CREATE INDEX web_handover_due ON web_handover (due);
