-- A suspension may mean one egress source alone; see ../sqlite/0014_suspended_source.sql.
ALTER TABLE suspension ADD COLUMN source TEXT;
