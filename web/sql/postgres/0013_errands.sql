-- Errands at a relay on another machine; see ../sqlite/0013_errands.sql.
CREATE TABLE web_errand (
  kind TEXT NOT NULL,
  address TEXT NOT NULL,
  mailbox BYTEA NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (kind, address)
);
CREATE INDEX web_errand_mailbox ON web_errand (mailbox);
