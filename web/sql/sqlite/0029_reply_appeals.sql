-- What whoever answered a letter is told of a reply that was stopped, and whether they asked a person. A refused reply keeps
-- its words until `held_until`, for that question alone.
ALTER TABLE web_reply ADD COLUMN reason TEXT NOT NULL DEFAULT '';       -- of the person who refused it
ALTER TABLE web_reply ADD COLUMN appealed INTEGER NOT NULL DEFAULT 0;   -- 1: a person decides, or has decided
DROP INDEX web_reply_held;
CREATE INDEX web_reply_until ON web_reply (held_until) WHERE held_until IS NOT NULL;
