-- The reply to a letter, by mail; see ../sqlite/0027_replies.sql.
CREATE TABLE web_reply (
  letter_id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  day BIGINT NOT NULL,
  mailbox BYTEA,
  step TEXT NOT NULL,
  rules TEXT NOT NULL DEFAULT '',
  held_until BIGINT,
  words TEXT NOT NULL
);

CREATE INDEX web_reply_held ON web_reply (held_until) WHERE state = 'held';
CREATE INDEX web_reply_by_mailbox ON web_reply (mailbox) WHERE mailbox IS NOT NULL;
CREATE INDEX web_letter_by_message ON web_letter (message_id) WHERE message_id IS NOT NULL;

ALTER TABLE web_handover ADD COLUMN answerable INTEGER NOT NULL DEFAULT 0;
