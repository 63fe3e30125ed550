-- The weekly; see ../sqlite/0012_weekly.sql.
CREATE TABLE web_subscriber (
  mailbox BYTEA PRIMARY KEY,
  language TEXT NOT NULL,
  sealed TEXT NOT NULL
);

CREATE TABLE web_digest (
  week TEXT NOT NULL,
  language TEXT NOT NULL,
  PRIMARY KEY (week, language)
);

CREATE TABLE web_digest_post (
  public_id TEXT PRIMARY KEY,
  week TEXT NOT NULL,
  language TEXT NOT NULL
);

CREATE INDEX web_digest_post_week ON web_digest_post (language, week);

CREATE TABLE web_mailing (
  week TEXT NOT NULL,
  language TEXT NOT NULL,
  mailbox BYTEA NOT NULL,
  tried BIGINT,
  PRIMARY KEY (week, language, mailbox)
);
