-- What waits for a person is counted by kind of network before more is taken (web/pile.py).
ALTER TABLE web_notice ADD COLUMN network TEXT NOT NULL DEFAULT 'direct';  -- of one that waits

CREATE INDEX web_handover_pile ON web_handover (network) WHERE held_until IS NOT NULL;

CREATE INDEX web_notice_pile ON web_notice (network) WHERE outcome IS NULL;
