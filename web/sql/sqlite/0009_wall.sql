-- Letters offered for the wall. Words stand here from sending until somebody decides; what is shown is a copy without
-- names. The public address is drawn by lot when a post is published and says nothing about letter or people.
ALTER TABLE web_letter ADD COLUMN wall INTEGER NOT NULL DEFAULT 0;      -- 1: its writer offers it

CREATE TABLE web_post (
  letter_id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,                    -- waiting, queued, published, declined, removed
  language TEXT NOT NULL,
  signature TEXT NOT NULL,
  due INTEGER NOT NULL,                   -- milliseconds since 1970: when to look whether it arrived
  words TEXT NOT NULL,                    -- the writer's, until somebody decided
  shown TEXT NOT NULL DEFAULT '',         -- what the wall shows
  public_id TEXT UNIQUE,
  published INTEGER                       -- milliseconds since 1970, rounded down to a day
) STRICT, WITHOUT ROWID;

CREATE INDEX web_post_due ON web_post (due) WHERE state = 'waiting';
CREATE INDEX web_post_shown ON web_post (language, published, public_id) WHERE state = 'published';
