-- How many letters the program refused at the form, by rule and day; see ../sqlite/0014_ruling_counts.sql.
CREATE TABLE web_ruling_count (
  day BIGINT NOT NULL,
  rule TEXT NOT NULL,
  letters BIGINT NOT NULL,
  PRIMARY KEY (day, rule)
);
