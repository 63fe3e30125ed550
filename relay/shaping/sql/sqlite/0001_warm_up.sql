-- Warm-ups: one row for each signing domain, source, IP version and provider that mail left for. Times are milliseconds
-- since the epoch, days are counted from it, UTC.
CREATE TABLE warm_up (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  domain TEXT NOT NULL,               -- the signing domain, '' for unsigned mail
  source TEXT NOT NULL,
  version INTEGER NOT NULL,           -- of IP: 4 or 6
  provider TEXT NOT NULL,             -- a name of providers.toml, else the site
  begins INTEGER NOT NULL,            -- the day that the setting names: another day there begins anew
  step INTEGER NOT NULL,              -- place in the schedule
  day INTEGER NOT NULL,               -- of `used`
  used INTEGER NOT NULL,              -- letters that left, or were allowed to, on that day
  free_at INTEGER NOT NULL,           -- when the next one is due at an even flow
  tail INTEGER NOT NULL,              -- the latest departure that was promised
  fell INTEGER NOT NULL,              -- the day after the last bad one
  mark TEXT NOT NULL,                 -- what the last day was, '' before there was one
  why TEXT NOT NULL,
  UNIQUE (domain, source, version, provider)
) STRICT;

CREATE TABLE warm_up_day (
  warm_up INTEGER NOT NULL,
  day INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  deferred INTEGER NOT NULL,
  bounced INTEGER NOT NULL,
  complaints INTEGER NOT NULL,
  PRIMARY KEY (warm_up, day)
) STRICT, WITHOUT ROWID;
