-- Figures counted from the stream of events; what the tables mean is told in ../sqlite/0001_figures.sql.
CREATE TABLE figure (
  hour INTEGER NOT NULL,
  tenant BIGINT NOT NULL,
  stream TEXT NOT NULL,
  provider TEXT NOT NULL,
  kind SMALLINT NOT NULL,
  reason TEXT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (hour, tenant, stream, provider, kind, reason)
);

CREATE TABLE reader (
  name TEXT PRIMARY KEY,
  cursor TEXT NOT NULL,
  holder TEXT NOT NULL,
  until BIGINT NOT NULL
);

CREATE TABLE brake (
  tenant BIGINT NOT NULL,
  stream TEXT NOT NULL,
  level TEXT NOT NULL,
  provider TEXT NOT NULL,
  delivered BIGINT NOT NULL,
  complaints BIGINT NOT NULL,
  since BIGINT NOT NULL,
  PRIMARY KEY (tenant, stream)
);
