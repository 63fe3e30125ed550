-- Letters that wait for a person, letters that ended before they left, and what people decided;
-- see ../sqlite/0002_holds.sql.
ALTER TABLE web_letter ADD COLUMN ending TEXT;
ALTER TABLE web_letter ADD COLUMN ended BIGINT;
ALTER TABLE web_letter ADD COLUMN rules TEXT NOT NULL DEFAULT '';
ALTER TABLE web_letter ADD COLUMN reason TEXT NOT NULL DEFAULT '';

ALTER TABLE web_handover ADD COLUMN held_until BIGINT;
ALTER TABLE web_handover ADD COLUMN held_for TEXT;
ALTER TABLE web_handover ADD COLUMN hidden SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE web_handover ADD COLUMN message TEXT NOT NULL DEFAULT '';

CREATE INDEX web_handover_held ON web_handover (held_until) WHERE held_until IS NOT NULL;

CREATE TABLE web_decision (
  id TEXT PRIMARY KEY,
  at BIGINT NOT NULL,
  subject TEXT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  rules TEXT NOT NULL,
  reason TEXT NOT NULL
);

CREATE INDEX web_decision_by_time ON web_decision (at);
