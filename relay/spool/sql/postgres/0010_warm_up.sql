-- What the columns mean is told in ../sqlite/0011_warm_up.sql.
ALTER TABLE delivery ADD COLUMN source TEXT;
ALTER TABLE delivery ADD COLUMN warm_up BIGINT;
ALTER TABLE delivery ADD COLUMN promised BIGINT;
