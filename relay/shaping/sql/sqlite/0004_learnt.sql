-- What a worker learnt of a path's pace, as all of the path would have it: whoever begins on it begins with that. Rates
-- are messages a minute, spans seconds, 0 what is not known.
ALTER TABLE path_note ADD COLUMN per_minute REAL NOT NULL DEFAULT 0;
ALTER TABLE path_note ADD COLUMN ceiling REAL NOT NULL DEFAULT 0;
ALTER TABLE path_note ADD COLUMN horizon REAL NOT NULL DEFAULT 0;
ALTER TABLE path_note ADD COLUMN penalty REAL NOT NULL DEFAULT 0;
ALTER TABLE path_note ADD COLUMN sessions INTEGER NOT NULL DEFAULT 0;
