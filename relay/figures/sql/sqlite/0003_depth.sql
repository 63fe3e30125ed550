-- How deep the queue was: the last two days by five minutes, ninety days by the hour.
CREATE TABLE queue_depth (
  span INTEGER NOT NULL,              -- seconds that a row stands for: 300 or 3600
  at INTEGER NOT NULL,                -- when they begin, milliseconds since the epoch
  waiting INTEGER NOT NULL,           -- deliveries; of an hour, the most that were counted in it
  leased INTEGER NOT NULL,
  held INTEGER NOT NULL,
  oldest INTEGER NOT NULL,            -- age of the oldest of them, in seconds; 0 for none
  PRIMARY KEY (span, at)
) STRICT, WITHOUT ROWID;
