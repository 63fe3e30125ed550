-- How many letters the program refused at the form, by rule and day; nothing else of them is kept.
CREATE TABLE web_ruling_count (
  day INTEGER NOT NULL,                   -- its first millisecond, UTC
  rule TEXT NOT NULL,
  letters INTEGER NOT NULL,
  PRIMARY KEY (day, rule)
) STRICT, WITHOUT ROWID;
