-- How deep the queue was; what the columns mean is told in ../sqlite/0003_depth.sql.
CREATE TABLE queue_depth (
  span INTEGER NOT NULL,
  at BIGINT NOT NULL,
  waiting BIGINT NOT NULL,
  leased BIGINT NOT NULL,
  held BIGINT NOT NULL,
  oldest BIGINT NOT NULL,
  PRIMARY KEY (span, at)
);
