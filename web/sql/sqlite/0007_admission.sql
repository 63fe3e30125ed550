-- The day's admission by kind of network, and the slow lane. A letter's kind is kept only while the letter waits here.
ALTER TABLE web_handover ADD COLUMN network TEXT NOT NULL DEFAULT 'direct';   -- direct, tor, data-centre

CREATE TABLE web_left (
  day INTEGER NOT NULL,                   -- its first millisecond, UTC
  place TEXT NOT NULL,                    -- a provider under a warm-up's ceiling; '' for the operator's own
  network TEXT NOT NULL,
  letters INTEGER NOT NULL,
  PRIMARY KEY (day, place, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE web_lane (
  network TEXT NOT NULL PRIMARY KEY,
  next INTEGER NOT NULL                   -- milliseconds since 1970: the first moment nobody has a ticket for
) STRICT, WITHOUT ROWID;
