-- Warm-ups; what the tables mean is told in ../sqlite/0001_warm_up.sql.
CREATE TABLE warm_up (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  domain TEXT NOT NULL,
  source TEXT NOT NULL,
  version SMALLINT NOT NULL,
  provider TEXT NOT NULL,
  begins INTEGER NOT NULL,
  step INTEGER NOT NULL,
  day INTEGER NOT NULL,
  used BIGINT NOT NULL,
  free_at BIGINT NOT NULL,
  tail BIGINT NOT NULL,
  fell INTEGER NOT NULL,
  mark TEXT NOT NULL,
  why TEXT NOT NULL,
  UNIQUE (domain, source, version, provider)
);

CREATE TABLE warm_up_day (
  warm_up BIGINT NOT NULL,
  day INTEGER NOT NULL,
  delivered BIGINT NOT NULL,
  deferred BIGINT NOT NULL,
  bounced BIGINT NOT NULL,
  complaints BIGINT NOT NULL,
  PRIMARY KEY (warm_up, day)
);
