-- When a letter left in its writer's eyes, which is told of no other: one that is withheld looks as if it had left.
ALTER TABLE web_letter ADD COLUMN left_at INTEGER;    -- milliseconds since 1970, rounded down to a minute
ALTER TABLE web_letter ADD COLUMN place BLOB;         -- keyed hash of its recipient's domain
ALTER TABLE web_letter ADD COLUMN beside TEXT;        -- the relay's id of another letter, asked for as if it were its own
ALTER TABLE web_letter ADD COLUMN withheld INTEGER;   -- since when it cannot arrive; NULL again once it has ended

CREATE INDEX web_letter_by_place ON web_letter (place, left_at) WHERE message_id IS NOT NULL;
CREATE INDEX web_letter_by_departure ON web_letter (left_at) WHERE message_id IS NOT NULL;
CREATE INDEX web_letter_withheld ON web_letter (withheld) WHERE withheld IS NOT NULL;

-- 1: its recipient was erased. Such a letter goes on as if nothing had happened, without an address, and never leaves.
ALTER TABLE web_handover ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
