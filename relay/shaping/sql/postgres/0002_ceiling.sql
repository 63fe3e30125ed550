-- What it means is told in ../sqlite/0002_ceiling.sql.
ALTER TABLE warm_up ADD COLUMN ceiling BIGINT NOT NULL DEFAULT 0;
