-- Webhooks. What they are told are the spool's events: a webhook keeps its place in that stream, so that a receiver
-- that is down for days takes no more room than one that is up. Times are milliseconds since the epoch, UTC.
CREATE TABLE webhook (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
    tenant        INTEGER NOT NULL,
    url           TEXT NOT NULL,
    form          TEXT NOT NULL,                      -- standard or mandrill
    kinds         TEXT NOT NULL,                      -- labels with commas, '' = all
    description   TEXT NOT NULL,
    salt          TEXT NOT NULL,                      -- its secret is derived from the node's key, this and generation
    generation    INTEGER NOT NULL,
    rotated       INTEGER,                            -- when this generation began; for a day the one before signs too
    created       INTEGER NOT NULL,
    position      TEXT NOT NULL,                      -- told up to here, but for what is parked
    version       INTEGER NOT NULL,                   -- grows with each request: older knowledge writes nothing
    holder        INTEGER,                            -- the incarnation that tells it
    failures      INTEGER NOT NULL,                   -- posts that failed since one was taken
    failing_since INTEGER,
    next_at       INTEGER NOT NULL,                   -- no post before
    taken_at      INTEGER,                            -- when one was last taken
    disabled_at   INTEGER,
    disabled_why  TEXT NOT NULL
) STRICT;
CREATE INDEX webhook_tenant ON webhook (tenant);

-- Events that their receiver refused while it took others: tried again apart, each message's in order.
CREATE TABLE webhook_parked (
    webhook  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,                        -- of the event
    message  TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    PRIMARY KEY (webhook, seq)
) STRICT, WITHOUT ROWID;

-- The latest posts, a bounded number for each webhook.
CREATE TABLE webhook_post (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status  INTEGER,                                  -- of HTTP; NULL without an answer
    millis  INTEGER NOT NULL,
    error   TEXT NOT NULL                             -- '' when it was taken
) STRICT;
CREATE INDEX webhook_post_of ON webhook_post (webhook, id);
