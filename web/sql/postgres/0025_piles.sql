-- See ../sqlite/0025_piles.sql.
ALTER TABLE web_notice ADD COLUMN network TEXT NOT NULL DEFAULT 'direct';

CREATE INDEX web_handover_pile ON web_handover (network) WHERE held_until IS NOT NULL;

CREATE INDEX web_notice_pile ON web_notice (network) WHERE outcome IS NULL;
