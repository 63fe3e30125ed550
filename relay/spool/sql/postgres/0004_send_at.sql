-- See ../sqlite/0005_send_at.sql.
ALTER TABLE message ADD COLUMN send_at BIGINT;
