-- Tries in a row that broke on our side, by an exception or by the death of the lease's holder; and whether the
-- handling of a suspect has begun under its lease (relay.policy.quarantine).
ALTER TABLE delivery ADD COLUMN broken INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
