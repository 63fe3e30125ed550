-- What workers know of paths; what the columns mean is told in ../sqlite/0003_paths.sql.
CREATE TABLE path_note (
  site TEXT NOT NULL,
  source TEXT NOT NULL,
  holder BIGINT NOT NULL,
  at BIGINT NOT NULL,
  rests_since BIGINT NOT NULL,
  rests_until BIGINT NOT NULL,
  phase TEXT NOT NULL,
  why TEXT NOT NULL,
  pace TEXT NOT NULL,
  PRIMARY KEY (site, source, holder)
);
CREATE INDEX path_note_resting ON path_note (rests_until) WHERE rests_until > 0;
CREATE INDEX path_note_at ON path_note (at);
