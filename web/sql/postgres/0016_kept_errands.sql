-- Errands kept sealed; see ../sqlite/0016_kept_errands.sql.
CREATE TABLE web_kept_errand (
  kind TEXT NOT NULL,
  sealed BYTEA NOT NULL,
  mailbox BYTEA,
  at BIGINT NOT NULL,
  who BYTEA,
  PRIMARY KEY (kind, sealed)
);
CREATE INDEX web_kept_errand_mailbox ON web_kept_errand (mailbox);
CREATE INDEX web_kept_errand_who ON web_kept_errand (who);
