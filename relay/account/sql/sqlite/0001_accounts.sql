-- Tenants, and the credentials that prove them. Times are milliseconds since the epoch, UTC.
CREATE TABLE tenant (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

-- One row a name; it may be proved by a password, by an API key, or by either.
CREATE TABLE credential (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: messages keep naming it
    tenant        INTEGER NOT NULL REFERENCES tenant (id),
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT,                               -- argon2id, encoded with its parameters
    key_hash      BLOB UNIQUE,                        -- SHA-256 of the API key
    senders       TEXT NOT NULL,                      -- JSON list: domains, mailboxes or "*"
    loopback_only INTEGER NOT NULL DEFAULT 0,
    created       INTEGER NOT NULL,
    CHECK (password_hash IS NOT NULL OR key_hash IS NOT NULL)
) STRICT;
