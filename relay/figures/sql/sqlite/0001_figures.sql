-- Figures counted from the stream of events. One row for all events of one kind and reason in one hour.
CREATE TABLE figure (
  hour INTEGER NOT NULL,              -- hours since the epoch, UTC
  tenant INTEGER NOT NULL,
  stream TEXT NOT NULL,
  provider TEXT NOT NULL,             -- '' for an event of the whole message
  kind INTEGER NOT NULL,              -- of the event
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (hour, tenant, stream, provider, kind, reason)
) STRICT, WITHOUT ROWID;

-- How far the stream was read, moved in the transaction that adds what was read: counted once, whoever counts.
CREATE TABLE reader (
  name TEXT PRIMARY KEY,
  cursor TEXT NOT NULL,
  holder TEXT NOT NULL,               -- who reads just now, so that the others need not
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A stream that is slowed or stopped for its complaints, until somebody resumes it.
CREATE TABLE brake (
  tenant INTEGER NOT NULL,
  stream TEXT NOT NULL,
  level TEXT NOT NULL,                -- 'slow', 'stop', or 'free' after it was resumed
  provider TEXT NOT NULL,             -- whose figures decided, '' for all of them together
  delivered INTEGER NOT NULL,
  complaints INTEGER NOT NULL,
  since INTEGER NOT NULL,             -- when the level was set; figures before it count no more once it is 'free'
  PRIMARY KEY (tenant, stream)
) STRICT, WITHOUT ROWID;
