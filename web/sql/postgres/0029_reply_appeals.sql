-- What whoever answered a letter is told of a reply that was stopped; see ../sqlite/0029_reply_appeals.sql.
ALTER TABLE web_reply ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE web_reply ADD COLUMN appealed INTEGER NOT NULL DEFAULT 0;
DROP INDEX web_reply_held;
CREATE INDEX web_reply_until ON web_reply (held_until) WHERE held_until IS NOT NULL;
