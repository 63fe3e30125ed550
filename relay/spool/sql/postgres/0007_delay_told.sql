-- See ../sqlite/0008_delay_told.sql.
ALTER TABLE delivery ADD COLUMN delay_told SMALLINT NOT NULL DEFAULT 0;
