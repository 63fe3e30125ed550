-- Letters of which nobody has asked yet whether their recipient wants any; see ../sqlite/0031_unasked.sql.
CREATE TABLE web_unasked (
  letter_id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);
