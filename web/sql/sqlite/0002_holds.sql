-- Letters that wait for a person, letters that ended before they left, and what people decided.
ALTER TABLE web_letter ADD COLUMN ending TEXT;                      -- cancelled, returned, refused, undeliverable
ALTER TABLE web_letter ADD COLUMN ended INTEGER;                    -- milliseconds since 1970
ALTER TABLE web_letter ADD COLUMN rules TEXT NOT NULL DEFAULT '';   -- by which it is held or was refused
ALTER TABLE web_letter ADD COLUMN reason TEXT NOT NULL DEFAULT '';  -- what its writer is told of a refusal

-- A held letter's due time is the year 9999: no program hands it over, an older one included.
ALTER TABLE web_handover ADD COLUMN held_until INTEGER;
ALTER TABLE web_handover ADD COLUMN held_for TEXT;
ALTER TABLE web_handover ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;  -- 1: no person is asked, it cannot arrive
ALTER TABLE web_handover ADD COLUMN message TEXT NOT NULL DEFAULT '';   -- the writer's own words

CREATE INDEX web_handover_held ON web_handover (held_until) WHERE held_until IS NOT NULL;

CREATE TABLE web_decision (
  id TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  subject TEXT NOT NULL,                  -- the letter's id, or the report's; never its words
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  rules TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX web_decision_by_time ON web_decision (at);
