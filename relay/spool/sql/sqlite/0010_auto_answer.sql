-- Addresses that were answered by a program, as keyed hashes: each at most once in seven days.

CREATE TABLE auto_answer (
  address BLOB PRIMARY KEY,
  at INTEGER NOT NULL,
  item INTEGER NOT NULL               -- the inbound item that was answered
) STRICT;
CREATE INDEX auto_answer_at ON auto_answer (at);
