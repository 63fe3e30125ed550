-- Replies to letters whose sender asked for them, until the front that sent the letter has them; one a message.

CREATE TABLE letter_reply (
  message INTEGER PRIMARY KEY,        -- message.seq
  at INTEGER NOT NULL,
  words TEXT                          -- NULL once the front has them, or they were erased
) STRICT;
CREATE INDEX letter_reply_waiting ON letter_reply (at) WHERE words IS NOT NULL;
