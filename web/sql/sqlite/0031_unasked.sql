-- Letters of which nobody has asked yet whether their recipient wants any (web/wishes.py): for seconds, unless the relay
-- is away. A table of its own, since asking must not write a whole letter once more.
CREATE TABLE web_unasked (
  letter_id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
