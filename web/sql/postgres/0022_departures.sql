-- When a letter left in its writer's eyes; see ../sqlite/0022_departures.sql.
ALTER TABLE web_letter ADD COLUMN left_at BIGINT;
ALTER TABLE web_letter ADD COLUMN place BYTEA;
ALTER TABLE web_letter ADD COLUMN beside TEXT;
ALTER TABLE web_letter ADD COLUMN withheld BIGINT;

CREATE INDEX web_letter_by_place ON web_letter (place, left_at) WHERE message_id IS NOT NULL;
CREATE INDEX web_letter_by_departure ON web_letter (left_at) WHERE message_id IS NOT NULL;
CREATE INDEX web_letter_withheld ON web_letter (withheld) WHERE withheld IS NOT NULL;

ALTER TABLE web_handover ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
