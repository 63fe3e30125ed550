-- The reply to a letter, by mail: words of its recipient, without addresses, for the page of whoever wrote the letter.
-- A line without words says that no reply is taken any more.

CREATE TABLE web_reply (
  letter_id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,                    -- shown, held, over
  day INTEGER NOT NULL,                   -- milliseconds since 1970, rounded down to a day
  mailbox BLOB,                           -- keyed hash of the canonical address of whose words they are
  step TEXT NOT NULL,                     -- how far the rules let it go: pass, nudge, hold, care
  rules TEXT NOT NULL DEFAULT '',         -- why a person looks at it, ids
  held_until INTEGER,                     -- milliseconds since 1970: until when somebody may decide
  words TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX web_reply_held ON web_reply (held_until) WHERE state = 'held';
CREATE INDEX web_reply_by_mailbox ON web_reply (mailbox) WHERE mailbox IS NOT NULL;
CREATE INDEX web_letter_by_message ON web_letter (message_id) WHERE message_id IS NOT NULL;

-- 1: the letter says that it may be answered.
ALTER TABLE web_handover ADD COLUMN answerable INTEGER NOT NULL DEFAULT 0;
