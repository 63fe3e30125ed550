-- The row before a ceiling; see ../sqlite/0026_row.sql.
ALTER TABLE web_handover ADD COLUMN place TEXT;
ALTER TABLE web_handover ADD COLUMN waits_at TEXT;
ALTER TABLE web_handover ADD COLUMN expected BIGINT;

CREATE INDEX web_handover_row ON web_handover (network, promised, place) WHERE place IS NOT NULL;
