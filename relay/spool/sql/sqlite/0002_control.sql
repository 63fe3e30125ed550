-- Queue control: what an operator asked for, each request with the deliveries it touched, so that it can be undone.

-- The request that concerns a delivery: while a worker holds it, settle decides.
ALTER TABLE delivery ADD COLUMN asked INTEGER;

-- The site last seen for the lane's domain: what `--site` and a suspended site mean.
ALTER TABLE lane ADD COLUMN site TEXT;
CREATE INDEX lane_site ON lane (site) WHERE site IS NOT NULL;

CREATE TABLE request (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  verb TEXT NOT NULL,
  reason TEXT NOT NULL,
  final_at INTEGER,                   -- when a cancel or bounce becomes final; NULL once it is, or was undone
  undone INTEGER
) STRICT;
CREATE INDEX request_final ON request (final_at) WHERE final_at IS NOT NULL;

CREATE TABLE request_delivery (
  request INTEGER NOT NULL,
  message INTEGER NOT NULL,
  n INTEGER NOT NULL,
  state INTEGER NOT NULL,             -- what it was before
  due INTEGER,
  PRIMARY KEY (request, message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_delivery_of ON request_delivery (message, n);

-- A stopped path: no claim takes mail that fits all that is named here until the time, with the cause.
CREATE TABLE suspension (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER,                     -- NULL: every tenant
  domain TEXT,                        -- NULL: every domain
  site TEXT,                          -- NULL: every site
  until INTEGER NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
