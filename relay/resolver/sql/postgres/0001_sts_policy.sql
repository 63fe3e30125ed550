-- MTA-STS policies; what the columns mean is told in ../sqlite/0001_sts_policy.sql.
CREATE TABLE sts_policy (
  domain TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  mode TEXT NOT NULL,
  mx TEXT NOT NULL,
  max_age BIGINT NOT NULL,
  fetched BIGINT NOT NULL,
  ends BIGINT NOT NULL
);
CREATE INDEX sts_policy_ends ON sts_policy (ends);
