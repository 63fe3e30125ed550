-- What authorities ask for, and until when they are owed an answer. Receipt and answer stand in web_audit as well.
-- (web_handover.hidden is neither written nor read any more.)
CREATE TABLE web_legal_request (
  n INTEGER NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,                     -- a name under [deadline] of legal/fr.toml
  case_number TEXT NOT NULL,
  authority TEXT NOT NULL,
  basis TEXT NOT NULL,
  letter_id TEXT NOT NULL,                -- '': it names none. Its sealed record outlives its month while this is open
  received INTEGER NOT NULL,              -- milliseconds since 1970
  due INTEGER NOT NULL,
  closed INTEGER,
  outcome TEXT                            -- granted, refused, nothing-held or withdrawn
) STRICT;

CREATE INDEX web_legal_request_open ON web_legal_request (letter_id) WHERE closed IS NULL;
