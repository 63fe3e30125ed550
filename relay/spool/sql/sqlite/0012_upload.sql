-- A large body on its way in. Its pieces lie in `content` under the number that its message will bear; accept deletes
-- this row, and with that they are the message's. What was given up, or whose incarnation ended, the janitor removes.

CREATE TABLE upload (
  message INTEGER PRIMARY KEY,
  incarnation INTEGER NOT NULL,
  given_up INTEGER NOT NULL DEFAULT 0
) STRICT;
