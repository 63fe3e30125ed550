-- Replies to letters; see ../sqlite, 0016_letter_reply.sql.

CREATE TABLE letter_reply (
  message BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  words TEXT
);
CREATE INDEX letter_reply_waiting ON letter_reply (at) WHERE words IS NOT NULL;
