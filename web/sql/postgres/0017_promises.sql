-- When a letter was to leave; see ../sqlite/0017_promises.sql.
ALTER TABLE web_handover ADD COLUMN promised BIGINT;
