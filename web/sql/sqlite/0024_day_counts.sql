-- What came in on a day and what was stopped, as numbers alone: counted when it happens, kept longer than the letters.
CREATE TABLE web_day_count (
  day INTEGER NOT NULL,                   -- its first millisecond, UTC
  what TEXT NOT NULL,                     -- letters, held, reports; refusing: addresses that want no letters, that morning
  kind TEXT NOT NULL,                     -- of held: why
  number INTEGER NOT NULL,
  PRIMARY KEY (day, what, kind)
) STRICT, WITHOUT ROWID;

INSERT INTO web_day_count (day, what, kind, number)
  SELECT created / 86400000 * 86400000, 'letters', '', COUNT(*) FROM web_letter GROUP BY 1;

INSERT INTO web_day_count (day, what, kind, number)
  SELECT at / 86400000 * 86400000, 'reports', '', COUNT(*) FROM web_report GROUP BY 1;
