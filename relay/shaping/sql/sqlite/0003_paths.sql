-- What each worker knows of a path that the others should know too: that it rests, and the pace it learnt. A row lives
-- as long as it is renewed; times are milliseconds since the epoch.
CREATE TABLE path_note (
  site TEXT NOT NULL,
  source TEXT NOT NULL,
  holder INTEGER NOT NULL,            -- the incarnation that says so
  at INTEGER NOT NULL,
  rests_since INTEGER NOT NULL,
  rests_until INTEGER NOT NULL,       -- 0: it does not rest
  phase TEXT NOT NULL,                -- in which the failure came that it rests for, '' without one
  why TEXT NOT NULL,
  pace TEXT NOT NULL,                 -- what was learnt of its rate, in words; '' where nothing limits it
  PRIMARY KEY (site, source, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX path_note_resting ON path_note (rests_until) WHERE rests_until > 0;
CREATE INDEX path_note_at ON path_note (at);
