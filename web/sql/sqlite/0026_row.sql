-- The row before a ceiling. A letter that waits to leave stands in it; one that is held or has left for its writer does not.
ALTER TABLE web_handover ADD COLUMN place TEXT;         -- whose warm-up it needs room of, '' for nobody's; NULL: in no row
ALTER TABLE web_handover ADD COLUMN waits_at TEXT;      -- the place that had no room for it, '' for the operator's ceiling
ALTER TABLE web_handover ADD COLUMN expected INTEGER;   -- by when it leaves, as its writer was told; milliseconds since 1970

CREATE INDEX web_handover_row ON web_handover (network, promised, place) WHERE place IS NOT NULL;
