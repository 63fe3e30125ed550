-- What came in on a day and what was stopped, as numbers alone; see ../sqlite/0024_day_counts.sql.
CREATE TABLE web_day_count (
  day BIGINT NOT NULL,
  what TEXT NOT NULL,
  kind TEXT NOT NULL,
  number BIGINT NOT NULL,
  PRIMARY KEY (day, what, kind)
);

INSERT INTO web_day_count (day, what, kind, number)
  SELECT created / 86400000 * 86400000, 'letters', '', COUNT(*) FROM web_letter GROUP BY 1;

INSERT INTO web_day_count (day, what, kind, number)
  SELECT at / 86400000 * 86400000, 'reports', '', COUNT(*) FROM web_report GROUP BY 1;
