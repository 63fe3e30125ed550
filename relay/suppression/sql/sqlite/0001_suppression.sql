-- Standing refusals. Times are milliseconds since the epoch, UTC. An address is known by a keyed hash of it; the
-- address itself stands beside it for the operator's eyes until it is erased, and the refusal holds on.
CREATE TABLE suppression (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER NOT NULL,            -- 0: every tenant
  stream TEXT NOT NULL,               -- '': every stream
  hash BLOB NOT NULL,
  key TEXT NOT NULL,                  -- which key made the hash
  reason TEXT NOT NULL,
  address TEXT,                       -- NULL once it was erased
  detail TEXT NOT NULL,
  times INTEGER NOT NULL,             -- how often it came to be, for how long it holds grows with it
  created_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  until INTEGER,                      -- NULL: for good
  changed INTEGER NOT NULL,           -- rises with every commit that touches a row: what is new is found by it
  UNIQUE (hash, tenant, stream, reason)
) STRICT;
CREATE INDEX suppression_changed ON suppression (changed);
CREATE INDEX suppression_tenant ON suppression (tenant, id);

-- Soft bounces counted, until they suppress or a delivery forgives them.
CREATE TABLE soft_bounce (
  hash BLOB NOT NULL,
  tenant INTEGER NOT NULL,
  times INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  PRIMARY KEY (hash, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX soft_bounce_last ON soft_bounce (last_at);
