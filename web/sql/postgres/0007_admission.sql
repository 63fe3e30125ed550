-- The day's admission by kind of network, and the slow lane; see ../sqlite/0007_admission.sql.
ALTER TABLE web_handover ADD COLUMN network TEXT NOT NULL DEFAULT 'direct';

CREATE TABLE web_left (
  day BIGINT NOT NULL,
  place TEXT NOT NULL,
  network TEXT NOT NULL,
  letters BIGINT NOT NULL,
  PRIMARY KEY (day, place, network)
);

CREATE TABLE web_lane (
  network TEXT PRIMARY KEY,
  next BIGINT NOT NULL
);
