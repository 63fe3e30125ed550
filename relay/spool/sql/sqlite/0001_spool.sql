-- The spool. Times are milliseconds since the epoch, UTC. Recipient addresses stand in `recipient` alone:
-- everything else names a delivery by (message, n), so that erasing an address is deleting one row.

CREATE TABLE incarnation (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  node TEXT NOT NULL,
  worker INTEGER NOT NULL,
  started INTEGER NOT NULL,
  heartbeat INTEGER NOT NULL,
  ended INTEGER                       -- replaced, stopped or declared dead: it may settle nothing any more
) STRICT;
CREATE INDEX incarnation_living ON incarnation (node, worker) WHERE ended IS NULL;

-- A lane is tenant x next-hop domain. `due` is never later than the earliest due time of its WAITING
-- deliveries (NULL: none waits), so that a claim finds work in constant time however long the queue is.
CREATE TABLE lane (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  domain TEXT NOT NULL,
  due INTEGER,
  UNIQUE (tenant, domain)
) STRICT;
CREATE INDEX lane_due ON lane (tenant, due) WHERE due IS NOT NULL;

CREATE TABLE message (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  tenant INTEGER NOT NULL,
  credential INTEGER,
  door TEXT NOT NULL,
  stream TEXT NOT NULL,
  reverse_path TEXT,                  -- NULL is the null path <>
  smtputf8 INTEGER NOT NULL,
  ret TEXT,
  envid TEXT,
  size INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  received BLOB NOT NULL,
  sign_as TEXT,
  prelude BLOB,                       -- NULL until the message first may leave
  open INTEGER NOT NULL,              -- deliveries not yet final
  final_at INTEGER,                   -- when the last one became final
  forgotten INTEGER NOT NULL DEFAULT 0,  -- its content was deleted
  labels TEXT                         -- JSON {tags, metadata}, NULL when there are none
) STRICT;
CREATE INDEX message_final ON message (final_at) WHERE final_at IS NOT NULL AND forgotten = 0;

-- Content in pieces of at most 256 KiB, so that no transaction or cache must hold 25 MB at once.
CREATE TABLE content (
  message INTEGER NOT NULL,
  piece INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (message, piece)
) STRICT;

CREATE TABLE recipient (
  message INTEGER NOT NULL,
  n INTEGER NOT NULL,
  address TEXT NOT NULL,
  orcpt TEXT,
  PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_address ON recipient (address COLLATE NOCASE);

CREATE TABLE delivery (
  message INTEGER NOT NULL,
  n INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  state INTEGER NOT NULL,
  initial INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due INTEGER,                        -- set exactly while WAITING or LEASED
  lease INTEGER,                      -- the incarnation, set exactly while LEASED
  notify INTEGER,
  PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_waiting ON delivery (lane, due, message, n) WHERE state = 1;
CREATE INDEX delivery_leased ON delivery (lease, lane) WHERE state = 2;
CREATE INDEX delivery_held ON delivery (lane) WHERE state = 3;

CREATE TABLE attempt (
  message INTEGER NOT NULL,
  n INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  detail TEXT NOT NULL,               -- JSON: outcome, host, TLS, source, duration
  transcript TEXT NOT NULL,           -- JSON: [[millis, speaker, text], ...]
  PRIMARY KEY (message, n, number, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  message INTEGER NOT NULL,
  n INTEGER,
  kind INTEGER NOT NULL,
  detail TEXT                         -- JSON, NULL when there is nothing to add
) STRICT;
CREATE INDEX event_message ON event (message);

CREATE TABLE idempotency (
  tenant INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  message INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

CREATE TABLE alarm (
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  since INTEGER NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
