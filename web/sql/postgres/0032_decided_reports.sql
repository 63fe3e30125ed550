-- Whose report it was is known while it waits; see ../sqlite/0032_decided_reports.sql.
UPDATE web_report SET mailbox = '\x'::bytea WHERE outcome IS NOT NULL;
