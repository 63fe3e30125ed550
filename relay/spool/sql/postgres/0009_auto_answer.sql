-- Addresses that were answered by a program; see ../sqlite, 0010_auto_answer.sql.

CREATE TABLE auto_answer (
  address BYTEA PRIMARY KEY,
  at BIGINT NOT NULL,
  item BIGINT NOT NULL                -- the inbound item that was answered
);
CREATE INDEX auto_answer_at ON auto_answer (at);
