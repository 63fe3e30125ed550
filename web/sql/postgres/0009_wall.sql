-- Letters offered for the wall; see ../sqlite/0009_wall.sql.
ALTER TABLE web_letter ADD COLUMN wall INTEGER NOT NULL DEFAULT 0;

CREATE TABLE web_post (
  letter_id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  language TEXT NOT NULL,
  signature TEXT NOT NULL,
  due BIGINT NOT NULL,
  words TEXT NOT NULL,
  shown TEXT NOT NULL DEFAULT '',
  public_id TEXT UNIQUE,
  published BIGINT
);

CREATE INDEX web_post_due ON web_post (due) WHERE state = 'waiting';
CREATE INDEX web_post_shown ON web_post (language, published, public_id) WHERE state = 'published';
