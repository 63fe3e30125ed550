-- Letters that somebody at the desk took for a threat to a life: text and sealed record stay until the case is closed.
CREATE TABLE web_danger (
  letter_id TEXT NOT NULL PRIMARY KEY,    -- of a letter that never departs, or that its recipient reported
  case_id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  created INTEGER,                        -- when it was written, rounded as in web_letter
  language TEXT NOT NULL,
  rules TEXT NOT NULL,
  sender_name TEXT NOT NULL,              -- this and what follows is emptied when the case is closed
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  words TEXT NOT NULL,                    -- what its recipient reported
  reason TEXT NOT NULL,
  told INTEGER,                           -- when the authorities were told; the alarm rings until then
  closed INTEGER
) STRICT, WITHOUT ROWID;
