-- The MTA-STS policies that were fetched, for all workers and for the next start. Times are milliseconds since the epoch.
CREATE TABLE sts_policy (
  domain TEXT PRIMARY KEY,
  id TEXT NOT NULL,                   -- of the TXT record that the policy was fetched for
  mode TEXT NOT NULL,
  mx TEXT NOT NULL,                   -- patterns with a space between
  max_age INTEGER NOT NULL,           -- seconds
  fetched INTEGER NOT NULL,
  ends INTEGER NOT NULL               -- when it is valid no more
) STRICT, WITHOUT ROWID;
CREATE INDEX sts_policy_ends ON sts_policy (ends);
